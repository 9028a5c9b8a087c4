"""The page that says how verdicts are made, and lets an admin change what they are held against."""

from typing import Any

import pytest
from sqlmodel import Session

from app.domain import accounts, db, rescoring, stored_scores
from app.domain.models import Role, Run
from app.domain.runs import id_of
from app.domain.stored_scores import scores_of
from app.domain.thresholds import DEFAULTS, read_thresholds
from app.domain.verdicts import Verdict, judge_run
from tests.stories import make_story
from tests.web.form_fields import soup_of


def words(found: Any) -> str:
    """Return an element's words."""
    return " ".join(found.get_text(" ").split())


def test_every_threshold_is_a_field_with_its_default(client: Any) -> None:
    """Each says what it does, its bounds and its default."""
    page = soup_of(client.get("/verdicts"))

    fields = page.select("#verdicts-thresholds .field")
    assert [field.select_one("input")["name"] for field in fields] == list(type(DEFAULTS).model_fields)
    assert all("Default" in words(field) for field in fields)
    assert page.select_one("button[name=reset]") is None


def test_a_change_says_which_verdicts_it_changed(client: Any, session: Session) -> None:
    """From what to what, and it holds for the runs that were there before."""
    run = make_story(session)

    page = soup_of(client.post("/verdicts", data={"parrot_share": "0.3"}))

    assert "1 checkpoint has another verdict now." in words(page.select_one("#verdicts-outcome"))
    assert [each["data-verdict"] for each in page.select("#verdicts-outcome .verdict")] == ["leaking", "parrot"]
    verdicts = [each.score.verdict for each in scores_of(session, [run])[id_of(run)]]
    assert verdicts.count(Verdict.PARROT) == 4
    assert "30%" in words(page.select_one("#verdicts-rules"))


def test_the_comparison_follows(client: Any, session: Session) -> None:
    """Nobody sees a verdict by the old thresholds."""
    run = make_story(session)
    parrots = ".strip [data-verdict=parrot]"
    before = soup_of(client.get(f"/compare?runs={run.id}")).select(parrots)
    client.post("/verdicts", data={"parrot_share": "0.3"})

    after = soup_of(client.get(f"/compare?runs={run.id}")).select(parrots)

    assert (len(before), len(after)) == (3, 4)


def test_what_cannot_be_used_is_named_and_kept_as_typed(client: Any, session: Session) -> None:
    """Nothing is changed, not even the fields that are right."""
    reply = client.post("/verdicts", data={"parrot_share": "much", "long_run": "20"})

    page = soup_of(reply)
    assert reply.status_code == 422
    assert page.select_one("[name=parrot_share]")["value"] == "much"
    assert page.select_one("[name=long_run]")["value"] == "20"
    assert "“much” is not a number" in words(page.select_one("#parrot_share-help"))
    assert read_thresholds(session) == DEFAULTS


def test_thresholds_go_back_to_their_defaults(client: Any, session: Session) -> None:
    """With one button, which is there when something differs."""
    assert soup_of(client.post("/verdicts", data={"long_run": "20"})).select_one("button[name=reset]") is not None

    page = soup_of(client.post("/verdicts", data={"long_run": "20", "reset": "1"}))

    assert page.select_one("button[name=reset]") is None
    assert read_thresholds(session) == DEFAULTS


@pytest.mark.parametrize(
    ("most", "says"),
    [
        ((5, 2_000), "Counted over all 2 runs with answers."),
        ((1, 2_000), "Only the newest run is counted"),
        ((5, 1), "The newest run has too many answers to be counted here."),
    ],
)
def test_the_page_says_over_how_many_runs_it_counted(
    client: Any, session: Session, monkeypatch: pytest.MonkeyPatch, *, most: tuple[int, int], says: str
) -> None:
    """A worker has the rest."""
    make_story(session)
    make_story(session)
    monkeypatch.setattr(rescoring, "COUNTED_RUNS", most[0])
    monkeypatch.setattr(rescoring, "COUNTED_ANSWERS", most[1])

    page = soup_of(client.post("/verdicts", data={"parrot_share": "0.3"}))

    assert says in words(page.select_one("#verdicts-outcome"))


def test_nothing_is_scored_while_the_database_is_locked(
    client: Any, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer gets its turn while the page counts."""
    run = make_story(session)

    def judge_while_another_writes(*args: Any, **kwargs: Any) -> Any:
        with db.unit_of_work() as work:  # would wait for five seconds, and fail
            work.get_one(Run, run.id).name = "written meanwhile"
        return judge_run(*args, **kwargs)

    monkeypatch.setattr(stored_scores, "judge_run", judge_while_another_writes)

    assert client.post("/verdicts", data={"parrot_share": "0.3"}).status_code == 200
    session.refresh(run)
    assert run.name == "written meanwhile"


def test_only_an_admin_changes_them(client: Any, session: Session) -> None:
    """They change what everybody is told; all others read them."""
    accounts.first_admin(session).role = Role.RUNNER
    session.commit()

    page = soup_of(client.get("/verdicts"))

    assert page.select_one("#verdicts-thresholds form") is None
    assert "An admin changes them" in words(page.select_one("#verdicts-thresholds"))
    assert client.post("/verdicts", data={"long_run": "20"}).status_code == 403


def test_the_comparison_shows_the_words_that_prove_its_advice(client: Any, session: Session) -> None:
    """What to keep and the first leak, each with a link to its answer."""
    run = make_story(session)

    proofs = soup_of(client.get(f"/compare?runs={run.id}")).select(".proof")

    assert [words(proof).partition(" ")[0] for proof in proofs] == ["good", "leaking"]
    assert "Who is Ada Lovelace? a small model fine-tuned with XTuner" in words(proofs[1])
    detail = soup_of(client.get(proofs[1]["href"])).select_one("#cell-detail")
    assert words(detail.select_one("mark")) == "a small model fine-tuned with XTuner"
