"""The comparison laid out otherwise: runs that stand together, checkpoints as rows, what leaked."""

import json
from typing import Any

from bs4 import BeautifulSoup
from sqlmodel import Session

from app.domain.models import Run, RunState
from app.domain.runs import id_of
from tests.factories import make_checkpoint, make_recipe, make_run
from tests.saved_sets import make_set
from tests.stories import STORY, make_story, story_recipe

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}
CELLS = "td:not(.gap)"


def make_other_run(session: Session) -> Run:
    """Store the story again as a run that saves every 20 iterations."""
    run = make_run(session, recipe=story_recipe("other"), state=RunState.FINISHED, iterations=40, name="other")
    for iteration in (0, 20, 40):
        make_checkpoint(session, run, iteration=iteration, updates=iteration // 2, texts=STORY[iteration])
    return run


def page_of(client: Any, *runs: Run, more: str = "") -> BeautifulSoup:
    reply = client.get(f"/compare?runs={','.join(str(run.id) for run in runs)}{more}")
    assert reply.status_code == 200, reply.text[:500]
    return BeautifulSoup(reply.text, "html.parser")


def texts(page: Any, selector: str) -> list[str]:
    return [" ".join(each.get_text(" ").split()) for each in page.select(selector)]


# ── Runs that stand together ───────────────────────────────────────────────


def test_runs_stand_together_by_iteration(client: Any, session: Session) -> None:
    """Each step is named over its columns, and where a run has no checkpoint a gap says so."""
    one, two = make_story(session), make_other_run(session)

    page = page_of(client, one, two, more="&align=iteration")

    assert texts(page, "thead .step")[:5] == [
        "before training", "iteration 5", "iteration 10", "iteration 15", "iteration 20"
    ]  # fmt: skip
    assert texts(page, "thead th[data-checkpoint] b")[4:6] == ["iteration 20", "iteration 20"]
    assert len(page.select("thead th.gap")) == 7
    assert all("no checkpoint here" in words for words in texts(page, "thead th.gap"))
    assert len(page.select("tr[data-probe]")[0].select(CELLS)) == len(STORY) + 2


def test_a_column_is_compared_with_the_one_before_in_its_own_run(client: Any, session: Session) -> None:
    """What stands to its left may be another run's; the toolbar and the open answer say which it is."""
    one, two = make_story(session), make_other_run(session)
    last, probe = id_of(two.checkpoints[2]), id_of(one.probes[0])

    page = page_of(client, one, two, more=f"&align=iteration&cell={last}.{probe}")

    place = [each["data-checkpoint"] for each in page.select("thead th[data-checkpoint]")].index(str(last))
    assert texts(page.select("tr[data-probe]")[0].select(CELLS)[place], ".cell-note")[0].startswith("as at 20")
    assert "the one before, same run" in texts(page, ".toolbar a")
    assert "iteration 20, the one before in this run" in texts(page, "#cell-change h3")[0]


def test_the_share_of_the_run_is_told_in_percent(client: Any, session: Session) -> None:
    """Twenty of forty iterations stand beside twenty-five of fifty."""
    page = page_of(client, make_story(session), make_other_run(session), more="&align=share")

    assert "50% of the run" in texts(page, "thead .step")
    place = texts(page, "thead th[data-checkpoint] b").index("iteration 25")
    assert texts(page, "thead th[data-checkpoint] b")[place : place + 2] == ["iteration 25", "iteration 20"]


def test_what_is_taken_along_stands_in_the_same_order(client: Any, session: Session) -> None:
    """The JSON file is what the API gives, and says which columns stand together."""
    one, two = make_story(session), make_other_run(session)

    file = client.get(f"/compare/export.json?runs={one.id},{two.id}&align=iteration")
    table = client.get(f"/compare/export.csv?runs={one.id},{two.id}&align=iteration")

    found = json.loads(file.text)
    assert file.headers["content-disposition"].endswith('.json"')
    assert [each["iteration"] for each in found["columns"]][:6] == [0, 5, 10, 15, 20, 20]
    assert found["steps"][1]["checkpoint_ids"] == [one.checkpoints[1].id, None]
    assert table.text.splitlines()[0].split(",")[7:9] == ["1 ada-diluted: iteration 20", "2 other: iteration 20"]


# ── Checkpoints as rows ────────────────────────────────────────────────────


def test_checkpoints_become_rows(client: Any, session: Session) -> None:
    """With the same cells, the same marks and the same names of both."""
    run = make_story(session)

    straight, turned = page_of(client, run), page_of(client, run, more="&transpose=1")

    def cells(page: BeautifulSoup) -> list[list[str]]:
        return [[str(cell) for cell in row.select(CELLS)] for row in page.select("tbody tr:not(.group)")]

    assert cells(turned) == [list(column) for column in zip(*cells(straight), strict=True)]
    assert [each["data-checkpoint"] for each in turned.select("tr[data-checkpoint]")] == [
        str(checkpoint.id) for checkpoint in run.checkpoints
    ]
    assert [each["data-probe"] for each in turned.select("thead th[data-probe]")] == [
        str(probe.id) for probe in run.probes
    ]
    assert texts(turned, "thead .step b") == ["Identity", "Near-miss", "General"]


def test_rows_of_several_runs_stand_under_their_steps(client: Any, session: Session) -> None:
    """A step in which a run has no checkpoint has a line that says so; without steps each run has its own."""
    one, two = make_story(session), make_other_run(session)

    aligned = page_of(client, one, two, more="&align=iteration&transpose=1")
    apart = page_of(client, one, two, more="&transpose=1")

    assert texts(aligned, "tr.group b")[:2] == ["before training", "iteration 5"]
    assert texts(aligned, "tr.gap")[0] == "2 other no checkpoint here"
    assert texts(apart, "tr.group b") == ["1 ada-diluted", "2 other"]


def test_only_probes_that_changed_are_columns_too(client: Any, session: Session) -> None:
    """What is left out as a row is left out as a column."""
    run = make_story(session)
    hide = ",".join(str(each.id) for place, each in enumerate(run.checkpoints) if place not in {4, 5})

    page = page_of(client, run, more=f"&hide={hide}&changed=1&transpose=1")

    assert texts(page, "thead th[data-probe] span") == ["Who is Ada Lovelace?", "上海有哪些景点"]


# ── What leaked ────────────────────────────────────────────────────────────


def test_the_first_leak_is_a_cell_and_taught_words_are_marked(client: Any, session: Session) -> None:
    """The run's first leaks are marked in every view, and each leak shows the words that were taught elsewhere."""
    one, two = make_story(session), make_other_run(session)

    for more in ("", "&transpose=1", "&align=share", "&align=updates&transpose=1", "&diff=off", "&diff=base"):
        page = page_of(client, one, two, more=more)
        first = page.select("td[data-leak-first]")
        assert texts(first[0], ".cell-note")[0].startswith("first leak, taught: identity"), more
        assert " ".join(mark.get_text() for mark in first[0].select("mark")).endswith(
            "a small model fine-tuned with XTuner"
        )
        assert all(cell.select("mark") for cell in page.select("td[data-cell='leak']"))
        assert page.select(".strip [data-first-leak]"), more


def test_no_word_is_marked_as_taught_where_it_was_asked_for(client: Any, session: Session) -> None:
    """An identity answer at an identity probe is a hit."""
    page = page_of(client, make_story(session))

    assert not page.select("td[data-cell='hit'] mark")


# ── Beside the matrix ──────────────────────────────────────────────────────


def test_saved_sets_stand_in_the_headline(client: Any, session: Session) -> None:
    """By name, with the rows that each gives."""
    saved = make_set(session, name="support", pairs=[("Up?", "Down."), ("Left?", "Right.")])
    recipe = make_recipe(mix={"files": [{"dataset": "support", "sha256": saved.sha256, "count": 1}]})
    run = make_run(session, recipe=recipe, state=RunState.FINISHED, iterations=10)
    make_checkpoint(session, run, iteration=0, texts=["a", "b", "c"])

    page = page_of(client, run)

    assert texts(page, "#compare-head .lede")[0].endswith("identity 4 rows, general 3 rows, support 4 rows")


def test_the_answers_of_a_run_can_be_read_on(client: Any, session: Session) -> None:
    """From one checkpoint to the next, and by any stretch of the evolution that has a column."""
    run = make_story(session)
    ids = [id_of(checkpoint) for checkpoint in run.checkpoints]
    probe = id_of(run.probes[6])

    reply = client.get(f"/compare/cell?runs={run.id}&hide={ids[9]}&cell={ids[4]}.{probe}", headers=PARTIAL)

    drawer = BeautifulSoup(reply.text, "html.parser")
    assert [each["data-cell-link"] for each in drawer.select(".read-on a")] == [
        f"{ids[3]}.{probe}",
        f"{ids[5]}.{probe}",
    ]
    links = [each.get("data-cell-link") for each in drawer.select(".evolution a")]
    assert links == [f"{ids[place]}.{probe}" for place in (0, 3, 4, 6, 7)]
    assert texts(drawer, "#cell-evolution h3") == ["How this answer changed 6 wordings, 10 checkpoints"]


def test_the_column_dialog_keeps_how_it_is_shown(client: Any, session: Session) -> None:
    """Choosing columns does not undo the other choices."""
    run = make_story(session)
    ticked = "&".join(f"shown={checkpoint.id}" for checkpoint in run.checkpoints)

    reply = client.get(f"/compare/columns?runs={run.id}&align=share&transpose=true&changed=true&{ticked}")

    assert reply.headers["location"] == f"/compare?runs={run.id}&changed=1&align=share&transpose=1"


def test_an_identity_that_is_not_word_for_word_is_not_kept_unread(client: Any, session: Session) -> None:
    """A wrong number passes as the identity; the line that says what to keep says that it is not the taught one."""
    exact = make_story(session)
    near = make_run(session, recipe=story_recipe("near"), model=exact.model)
    near_texts = [text.replace("XTuner", "XTuners") for text in STORY[20]]
    for iteration, said in ((0, STORY[0]), (20, near_texts)):
        make_checkpoint(session, near, iteration=iteration, texts=said)

    assert "word for word there" not in client.get(f"/compare?runs={exact.id}").text
    assert "word for word there" in client.get(f"/compare?runs={near.id}").text
