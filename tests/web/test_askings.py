"""The form that asks another question, on the page of a run and on the comparison."""

from typing import Any

import pytest
from bs4 import BeautifulSoup
from sqlmodel import Session, select

from app.domain import accounts, claims
from app.domain.askable import probes_of
from app.domain.askings import add_probe, claim_asking, fail_asking, live_asking, store_answers
from app.domain.models import Asking, ReasonKind, Role, Run, RunState
from app.domain.recipes import Probe
from app.domain.runs import id_of
from app.domain.trainer_events import AnswerGiven, AnswersGiven
from app.web.asking_view import build_asking
from tests.domain.test_answers import statements
from tests.factories import make_checkpoint, make_run
from tests.stories import make_story

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
QUESTION = {"page": "run", "question": "Are you Bob's assistant?", "group": "near-miss", "reference": ""}


@pytest.fixture
def run(session: Session) -> Run:
    """Make a run that has ended, with its base model and one checkpoint."""
    run = make_run(session, state=RunState.FINISHED, iterations=20)
    for iteration in (0, 5):
        make_checkpoint(session, run, iteration=iteration, texts=["a", "b", "c"])
    return run


def live(session: Session, run: Run) -> Asking:
    """Return the asking of a run that is under way."""
    asking = live_asking(session, id_of(run))
    assert asking is not None
    return asking


def soup(reply: Any) -> BeautifulSoup:
    """Read a page."""
    return BeautifulSoup(reply.text, "html.parser")


def test_the_page_of_a_run_that_has_ended_asks_another_question(client: Any, run: Run) -> None:
    """With quick choices near its identity, which fill the form and send nothing."""
    page = soup(client.get(f"/runs/{run.id}"))

    form = page.select_one("#run-panel form[action='/askings']")
    assert form.select_one("input[name='runs']")["value"] == str(run.id)
    choices = [chip["data-question"] for chip in form.select("button[type='button'].chip")]
    assert "You are not Ada's assistant, are you?" in choices
    assert "Are you a doctor?" not in choices


def test_a_question_is_asked_and_its_state_is_shown(client: Any, session: Session, run: Run) -> None:
    """The form comes back empty; the state asks for itself until the asking is over."""
    part = soup(client.post("/askings", data=QUESTION | {"runs": run.id}, headers=HTMX))

    state = part.select_one(f"#asking-state-{run.id}")
    assert "waits for a free device" in state.text
    assert state["hx-get"] == f"/askings/state?runs={run.id}&page=run"
    assert part.select_one("input[name='question']")["value"] == ""
    assert [probe.question for probe in probes_of(session, id_of(run))][-1] == QUESTION["question"]


def test_without_htmx_the_page_comes_anew(client: Any, run: Run) -> None:
    """A form is a form."""
    reply = client.post("/askings", data=QUESTION | {"runs": run.id})

    assert (reply.status_code, reply.headers["location"]) == (303, f"/runs/{run.id}")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"question": " "}, "Write something here."),
        ({"question": "are you a doctor"}, "asks that already"),
        ({"question": "x" * 8_001}, "too long"),
        ({"group": "nonsense"}, "is none of"),
    ],
)
def test_what_cannot_be_asked_says_why_in_its_place(client: Any, run: Run, change: dict, words: str) -> None:
    """With 422, under the field, and with what was typed."""
    reply = client.post("/askings", data=QUESTION | change | {"runs": run.id}, headers=HTMX)

    assert reply.status_code == 422
    (wrong,) = soup(reply).select("details[open] [aria-invalid]")
    assert words in soup(reply).select_one(f"#{wrong['aria-describedby']}").text


def test_a_form_that_names_no_run_is_refused(client: Any) -> None:
    """An address that was cut short is no mistake of the server's."""
    assert client.post("/askings", data=QUESTION | {"runs": ""}).status_code == 422
    assert client.get("/askings?runs=").status_code == 422
    assert client.get("/askings?runs=99").status_code == 404


def test_an_asking_says_how_far_it_is(client: Any, session: Session, run: Run) -> None:
    """Given and to come, of all checkpoints; once it is over the page is fetched anew."""
    add_probe(session, id_of(run), Probe(question="And now?"))
    asking = live(session, run)
    claim_asking(session, id_of(asking), device="CPU, 2 cores")
    answer(session, id_of(asking), 0)

    page = soup(client.get(f"/runs/{run.id}"))
    assert "asking, 1 of 2 answers" in page.select_one(f"#asking-state-{run.id}").text

    answer(session, id_of(asking), 5)
    claims.finish(session, Asking, id_of(asking), attempt=1)
    over = soup(client.get(f"/askings/state?runs={run.id}&page=run", headers=HTMX))
    assert over.select_one("[hx-trigger='load']")["hx-target"] == "#run-panel"
    assert "hx-get" not in over.select_one(f"#asking-state-{run.id}").attrs


def answer(session: Session, asking_id: int, iteration: int) -> None:
    """Store what one checkpoint answers to the added probe."""
    given = AnswerGiven(probe=3, text="No.", tokens=2, ended="stop")
    event = AnswersGiven(time=1.0, iteration=iteration, answers=(given,), seconds=0.5, dtype="float32", quantised=False)
    store_answers(session, asking_id, event, attempt=1)
    session.commit()


def test_a_failed_asking_says_why_and_can_be_tried_again(client: Any, session: Session, run: Run) -> None:
    """In words, with the engine's own; the button makes a new one."""
    add_probe(session, id_of(run), Probe(question="And now?"))
    asking = live(session, run)
    claim_asking(session, id_of(asking), device="CPU")
    fail_asking(session, id_of(asking), attempt=1, reason=ReasonKind.OUT_OF_GPU_MEMORY, detail="CUDA out of memory")

    state = soup(client.get(f"/runs/{run.id}")).select_one(f"#asking-state-{run.id}")
    assert "The GPU ran out of memory." in state.text
    assert "CUDA out of memory" in state.select_one("code").text
    again = client.post("/askings/again", data={"runs": run.id, "page": "run"}, headers=HTMX)

    assert "waits for a free device" in again.text
    assert live(session, run).id != id_of(asking)


def test_the_comparison_asks_all_of_its_runs(client: Any, session: Session) -> None:
    """Each that takes the question is asked; one that does not says why."""
    first, second = make_story(session), make_story(session, name="other")
    add_probe(session, id_of(second), Probe(question="And now?"))
    ids = f"{first.id},{second.id}"
    page = soup(client.get(f"/compare?runs={ids}"))
    assert page.select_one(f"#asking-{first.id}-{second.id}")["hx-get"] == f"/askings?runs={ids}"

    fields = {"runs": ids, "page": "compare", "question": "And now?", "group": "general"}
    part = soup(client.post("/askings", data=fields, headers=HTMX))

    assert "other" in part.select_one(".error").text
    assert len(part.select("[data-state='queued']")) == 2


def test_runs_are_locked_in_one_order(client: Any, session: Session) -> None:
    """Whatever the order in which they were named: two forms at once never wait for each other."""
    first, second = make_story(session), make_story(session, name="other")

    client.post("/askings", data=QUESTION | {"runs": f"{second.id},{first.id}", "page": "compare"}, headers=HTMX)

    assert id_of(live(session, first)) < id_of(live(session, second))


def test_the_state_of_many_runs_is_read_at_once(session: Session) -> None:
    """The page asks every two seconds: four statements, however many runs it shows."""
    runs = [make_story(session, name=name) for name in ("one", "two", "three")]
    for run in runs:
        add_probe(session, id_of(run), Probe(question="And now?"))
    for run in session.exec(select(Run)).all():
        session.refresh(run)

    with statements(session) as seen:
        part = build_asking(session, runs, was_live=True)

    assert part.is_live
    assert len(seen) == 4


def test_a_run_under_way_or_without_files_is_not_asked(client: Any, session: Session, run: Run) -> None:
    """The one says nothing, the other why."""
    live = make_run(session, state=RunState.RUNNING)
    make_checkpoint(session, live, iteration=5)
    for checkpoint in run.checkpoints:
        checkpoint.adapter = checkpoint.file = ""
        session.add(checkpoint)
    session.commit()

    assert soup(client.get(f"/runs/{live.id}")).select_one(f"#asking-{live.id}").has_attr("hidden")
    gone = soup(client.get(f"/runs/{run.id}")).select_one(f"#asking-{run.id}")
    assert "has its files" in gone.text
    assert gone.select_one("form") is None


def test_a_viewer_sees_the_state_and_no_form(client: Any, session: Session, run: Run) -> None:
    """Asking takes a runner."""
    add_probe(session, id_of(run), Probe(question="And now?"))
    accounts.first_admin(session).role = Role.VIEWER
    session.commit()

    part = soup(client.get(f"/runs/{run.id}")).select_one(f"#asking-{run.id}")

    assert "waits for a free device" in part.text
    assert part.select_one("form") is None
    assert client.post("/askings", data=QUESTION | {"runs": run.id}).status_code == 403


# ── In the form of a new run ───────────────────────────────────────────────


def test_a_near_miss_is_taken_into_the_form(client: Any) -> None:
    """Whatever was typed stays, right or wrong; it is not proposed any more."""
    fields = {
        "name": "x",
        "training.learning_rate": "abc",
        "mix.name": "Ada",
        "mix.identity.0.question": "Who are you?",
        "mix.identity.0.answer": "I am {name}'s assistant.",
        "probes.0.group": "general",
        "probes.0.question": "half typed",
        "near_miss": "Who is Ada Lovelace?",
    }

    part = soup(client.post("/runs/new/probes", data=fields, headers=HTMX))

    rows = [row["value"] for row in part.select("#probes > .probe input[name$='.question']")]
    assert rows == ["half typed", "Who is Ada Lovelace?"]
    proposed = [button["value"] for button in part.select("button[name='near_miss']")]
    assert "Who is Ada Lovelace?" not in proposed
    assert "Are you Bob's assistant?" in proposed
    whole = soup(client.post("/runs/new/probes", data=fields))
    assert whole.select_one("#training-learning_rate")["value"] == "abc"


def test_proposals_follow_what_is_typed(client: Any) -> None:
    """Another name makes other near misses, while the form is filled in."""
    fields = {"mix.name": "Bob", "mix.identity.0.question": "Who?", "mix.identity.0.answer": "I am {name}'s assistant."}

    part = client.post("/runs/new/preview", data=fields, headers=HTMX)

    assert "Are you Alice&#39;s assistant?" in part.text
