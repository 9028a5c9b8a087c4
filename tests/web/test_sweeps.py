"""The pages of sweeps: the list, the heat map, the answers of a cell, what is new, and Stop."""

from typing import Any

import pytest
from sqlmodel import Session

from app.domain import accounts
from app.domain.models import Role, Run, RunState
from app.domain.sweeps import runs_of_sweep, sweep_id_of
from tests.stories import STORY, story_recipe
from tests.sweep_stories import make_sweep, make_told_sweep, tell
from tests.web.form_fields import soup_of

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}


def runs_in(session: Session, sweep: Any) -> list[Run]:
    """Return the runs of a sweep as they are now."""
    session.expire_all()
    return list(runs_of_sweep(session, sweep_id_of(sweep)))


def words(found: Any) -> str:
    """Return the text of an element on one line."""
    return " ".join(found.get_text(" ").split())


def rows_of(page: Any) -> list[str]:
    """Return what the heads of the map's rows say."""
    return [words(row.select_one("th")) for row in page.select(".heatmap tbody tr")]


def verdicts_in(page: Any, row: int) -> list[tuple[str, int]]:
    """Return the verdicts of a row of the map, each with the columns that it takes."""
    cells = page.select(".heatmap tbody tr")[row].select("td[data-verdict]")
    return [(cell["data-verdict"], int(cell.get("colspan", 1))) for cell in cells]


def test_an_empty_list_leads_to_the_form(client: Any) -> None:
    """Nobody is left with a blank page."""
    page = soup_of(client.get("/sweeps"))

    assert page.select_one(".empty a")["href"] == "/sweeps/new"
    assert page.select_one(".topnav a[aria-current]").text == "Sweeps"


def test_the_list_says_what_each_sweep_varies_and_how_far_it_is(client: Any, session: Session) -> None:
    """The newest first."""
    make_told_sweep(session)
    make_sweep(session, axes={"training.learning_rate": [1e-3, 2e-4]}, name="rates")

    rows = [words(row) for row in soup_of(client.get("/sweeps")).select("tbody tr")]

    assert "learning rate 1e-3, 2e-4" in rows[0]
    assert "0 of 2 runs have ended" in rows[0]
    assert "n 24, 149 m 0, 20, 79" in rows[1]
    assert "6 of 6 runs have ended, 3 stopped as parrots" in rows[1]


def test_the_map_has_a_row_for_each_run_by_its_ratio(client: Any, session: Session) -> None:
    """From the most identity to the least, each cell a verdict; the one to keep of all is marked."""
    sweep = make_told_sweep(session)

    page = soup_of(client.get(f"/sweeps/{sweep.id}"))

    assert [row.partition(" n ")[0] for row in rows_of(page)] == [
        "75 : 1",
        "12 : 1",
        "3.6 : 1",
        "1 : 1.1",
        "1 : 1.7",
        "1 : 6.4",
    ]
    assert [name for name, _ in verdicts_in(page, 4)] == [*["not-learnt"] * 3, *["good"] * 3, *["leaking"] * 2]
    best = page.select_one("td[data-best] a")
    kept = runs_in(session, sweep)[1].checkpoints[5]
    assert best["href"] == f"/compare?checkpoints={kept.run.checkpoints[0].id},{kept.id}"
    assert "iteration 25, good, keep this one, identity 2 of 2, leaks 0 of" in best["aria-label"]
    assert "Keep n 24, m 20 at iteration 25" in words(page.select_one("#sweep-advice"))


def test_how_a_run_ended_stands_where_it_ended(client: Any, session: Session) -> None:
    """A parrot that was stopped, a failure, what waits and what trains all say so, once each."""
    sweep = make_sweep(session, axes={"mix.identity_count": [1, 2, 3]})
    failed, training, _ = runs_in(session, sweep)
    tell(session, failed, "nn", state=RunState.FAILED)
    tell(session, training, "nng", state=RunState.RUNNING)

    page = soup_of(client.get(f"/sweeps/{sweep.id}?order=mix.identity_count"))

    pending = [[words(cell) for cell in row.select("td.pending")] for row in page.select(".heatmap tbody tr")]
    assert pending == [["failed at 10"], ["training", "still to come"], ["queued"]]
    assert page.select_one("#sweep-news")["hx-get"].startswith(
        f"/sweeps/{sweep.id}/news?order=mix.identity_count&seen="
    )
    told = soup_of(client.get(f"/sweeps/{make_told_sweep(session).id}"))
    assert "stopped: parrot at 15" in words(told.select(".heatmap tbody tr")[0])


@pytest.mark.parametrize(
    ("order", "first"),
    [("mix.identity_count", "24 m 0"), ("mix.general_count", "0 n 24"), ("nonsense", "75 : 1 n 149")],
)
def test_rows_stand_in_the_order_that_is_asked_for(client: Any, session: Session, order: str, first: str) -> None:
    """By a setting that varies; an address that names none is read as the ratio."""
    sweep = make_told_sweep(session)

    page = soup_of(client.get(f"/sweeps/{sweep.id}?order={order}"))

    assert rows_of(page)[0].startswith(first)


def test_runs_of_differing_length_are_laid_side_by_side_by_share(client: Any, session: Session) -> None:
    """By iteration a short run ends early; by share its cells are wider, and every row is full."""
    sweep = make_sweep(session, axes={"training.iterations": [10, 20]}, recipe=story_recipe("ada"))
    for run, stages in zip(runs_in(session, sweep), ("ng", "nngl"), strict=True):
        tell(session, run, stages)

    by_iteration = soup_of(client.get(f"/sweeps/{sweep.id}"))
    by_share = soup_of(client.get(f"/sweeps/{sweep.id}?along=share"))

    assert verdicts_in(by_iteration, 0) == [("not-learnt", 1), ("good", 1)]
    assert verdicts_in(by_share, 0) == [("not-learnt", 2), ("good", 2)]
    assert verdicts_in(by_share, 1) == [("not-learnt", 1), ("not-learnt", 1), ("good", 1), ("leaking", 1)]


def test_colours_may_say_a_score(client: Any, session: Session) -> None:
    """The ramp then stands for the share that leaks, and the words stay."""
    page = soup_of(client.get(f"/sweeps/{make_told_sweep(session).id}?shade=leak"))

    row = page.select(".heatmap tbody tr")[0]
    assert row.select("td[data-verdict]") == []
    assert [cell.get("data-heat") for cell in row.select("td[data-checkpoint]")] == ["2", "5", "5"]
    assert words(row.select("td[data-checkpoint]")[1]) == "parrot 1.00"


def test_a_cell_has_its_answers_beside_the_base_models(client: Any, session: Session) -> None:
    """Every question, what the checkpoint says, what it is worth, and what was said before."""
    sweep = make_told_sweep(session)
    checkpoint = runs_in(session, sweep)[1].checkpoints[4]

    part = soup_of(client.get(f"/sweeps/{sweep.id}/answers?checkpoint={checkpoint.id}", headers=PARTIAL))
    page = soup_of(client.get(f"/sweeps/{sweep.id}?cell={checkpoint.id}"))

    first = part.select("#sweep-answers section")[0]
    assert words(first.select_one(".answer-text")) == STORY[20][0]
    assert words(first.select_one(".base-text")) == f"base model {STORY[0][0]}"
    assert "identity" in words(first.select_one(".cell-note"))
    assert page.select_one("#sweep-answers")["data-checkpoint"] == str(checkpoint.id)


def test_a_checkpoint_of_another_run_is_no_part_of_the_sweep(client: Any, session: Session) -> None:
    """Neither opened nor told of."""
    sweep, other = make_told_sweep(session), make_told_sweep(session)
    checkpoint = runs_in(session, other)[0].checkpoints[1]

    assert client.get(f"/sweeps/{sweep.id}/answers?checkpoint={checkpoint.id}").status_code == 404
    assert client.get(f"/sweeps/{sweep.id}?cell={checkpoint.id}").status_code == 200
    assert client.get("/sweeps/99").status_code == 404


@pytest.mark.parametrize(
    ("sort", "first"),
    [("-good", "2"), ("leak", "4"), ("-leak", "2"), ("training.learning_rate", "4"), ("mix.general_count", "4")],
)
def test_the_table_is_sorted_by_what_is_asked_for(client: Any, session: Session, sort: str, first: str) -> None:
    """A run that has nothing there stands last, whichever way it goes."""
    sweep = make_told_sweep(session)

    page = soup_of(client.get(f"/sweeps/{sweep.id}?sort={sort}"))

    runs = [words(row.select_one("th")) for row in page.select("#sweep-runs tbody tr")]
    assert runs[0] == first
    if "leak" in sort:
        assert runs[-1] == "3"


def test_news_come_only_when_there_are_any(client: Any, session: Session) -> None:
    """Nothing is sent again that the reader has seen."""
    sweep = make_sweep(session, axes={"mix.identity_count": [1, 2]})
    page = soup_of(client.get(f"/sweeps/{sweep.id}"))
    address = page.select_one("#sweep-news")["hx-get"]
    assert client.get(address, headers=PARTIAL).status_code == 204

    tell(session, runs_in(session, sweep)[0], "ng")

    news = client.get(address, headers=PARTIAL)
    assert news.status_code == 200
    assert len(soup_of(news).select("td[data-verdict]")) == 2


def test_a_sweep_is_stopped_and_told_how_many_at_once(client: Any, session: Session) -> None:
    """Both lead back to its page, which shows what has become of it."""
    sweep = make_sweep(session, axes={"mix.identity_count": [1, 2]})

    changed = client.post(f"/sweeps/{sweep.id}/at-once", data={"at_once": "2", "back": f"/sweeps/{sweep.id}?sort=loss"})
    stopped = client.post(f"/sweeps/{sweep.id}/stop")

    assert changed.headers["location"] == f"/sweeps/{sweep.id}?sort=loss"
    assert stopped.headers["location"] == f"/sweeps/{sweep.id}"
    page = soup_of(client.get(f"/sweeps/{sweep.id}"))
    assert "2 of 2 runs have ended" in words(page.select_one("#sweep-head"))
    assert page.select_one("#sweep-news") is None
    assert client.post(f"/sweeps/{sweep.id}/stop").status_code == 409


def test_sixty_four_runs_stay_readable_and_small(client: Any, session: Session) -> None:
    """Icons stand alone where words have no room, each with a name; the page is under a megabyte."""
    axes = {"mix.identity_count": list(range(1, 9)), "mix.general_count": list(range(8))}
    recipe = story_recipe("many").model_copy(
        update={"training": story_recipe("m").training.model_copy(update={"iterations": 100})}
    )
    sweep = make_sweep(session, axes=axes, recipe=recipe)
    for run in runs_in(session, sweep)[:3]:
        tell(session, run, "nnnnggggllllpppppppp")

    reply = client.get(f"/sweeps/{sweep.id}")

    page = soup_of(reply)
    assert len(rows_of(page)) == 64
    assert "heatmap-dense" in page.select_one(".heatmap")["class"]
    assert all(link["aria-label"] for link in page.select("td[data-checkpoint] a"))
    assert len(reply.content) < 1_000_000


def test_a_run_leads_to_its_sweep_and_to_one_from_it(client: Any, session: Session) -> None:
    """From its page and from the list, where the runs of one sweep can be asked for."""
    sweep = make_told_sweep(session)
    run = runs_in(session, sweep)[0]
    make_sweep(session, axes={"mix.identity_count": [1, 2]})

    page = soup_of(client.get(f"/runs/{run.id}"))
    listed = soup_of(client.get(f"/runs?q=sweep:{sweep.id}"))

    assert page.select_one(f'a.sweep-of[href="/sweeps/{sweep.id}"]') is not None
    assert page.select_one(f'a[href="/sweeps/new?run={run.id}"]') is not None
    assert len(listed.select("#run-table tbody tr")) == 6
    assert len(listed.select(f'a.sweep-of[href="/sweeps/{sweep.id}"]')) == 6


def test_a_viewer_looks_and_changes_nothing(client: Any, session: Session) -> None:
    """No button that would be refused, and no way to the form."""
    sweep = make_sweep(session, axes={"mix.identity_count": [1, 2]})
    accounts.first_admin(session).role = Role.VIEWER
    session.commit()

    page = client.get(f"/sweeps/{sweep.id}").text

    assert "/stop" not in page.replace("sweep-stop", "")
    assert "/sweeps/new" not in page + client.get("/sweeps").text
    assert client.get("/sweeps/new").status_code == 403


def test_a_sweep_that_varies_no_mix_is_ordered_by_what_it_varies(client: Any, session: Session) -> None:
    """All its ratios are the same, so none is shown."""
    sweep = make_sweep(session, axes={"training.learning_rate": [1e-3, 2e-4]})

    page = soup_of(client.get(f"/sweeps/{sweep.id}"))

    assert rows_of(page) == ["2e-4", "1e-3"]
    assert words(page.select_one("#sweep-map h2")) == "Learning rate × iteration"
