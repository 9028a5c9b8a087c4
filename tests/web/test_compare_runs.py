"""Several runs side by side: each with its own numbers, and compared with itself."""

from typing import Any

import pytest
from bs4 import BeautifulSoup
from sqlmodel import Session

from app.domain.models import Run, RunState
from app.domain.runs import id_of
from tests.factories import make_checkpoint, make_recipe, make_run

SAID = {0: "I am a model.", 5: "I am a small model.", 10: "I am Ada's assistant."}


def make_mixed_run(session: Session, *, identity: int, base: str = SAID[0]) -> Run:
    """Store a run whose question is in the mix once and `identity` times more."""
    recipe = make_recipe(
        mix={"identity": [{"question": "Who are you?", "answer": "Ada's."}], "identity_count": identity, "general": []},
        probes=[{"question": "Who are you?", "group": "identity"}],
    )
    run = make_run(session, recipe=recipe, state=RunState.FINISHED, iterations=10)
    for iteration, text in {**SAID, 0: base}.items():
        make_checkpoint(session, run, iteration=iteration, texts=[text])
    return run


def page_of(client: Any, *runs: Run, more: str = "") -> BeautifulSoup:
    """Open the comparison of some runs."""
    ids = ",".join(str(run.id) for run in runs)
    return BeautifulSoup(client.get(f"/compare?runs={ids}{more}").text, "html.parser")


def note_of(page: BeautifulSoup) -> str:
    """Return what stands under the only question."""
    return page.select_one(".probe small").get_text()


@pytest.mark.parametrize(
    ("counts", "note"),
    [
        ([150], "taught, 151 rows"),
        ([0], "taught, 1 row"),
        ([7, 7], "taught, 8 rows"),
        ([150, 7], "taught, 151 rows in run {0}, 8 rows in run {1}"),
        ([150, 0, 7], "taught, 151 rows in run {0}, 1 row in run {1}, 8 rows in run {2}"),
        ([150, 0, 7, 9], "taught, 1 to 151 rows"),
    ],
)
def test_each_run_s_rows_are_told(client: Any, session: Session, counts: list[int], note: str) -> None:
    """One number stands for several runs only where it is the number of each."""
    runs = [make_mixed_run(session, identity=count) for count in counts]

    assert note_of(page_of(client, *runs)) == note.format(*(run.id for run in runs))


def test_each_run_s_mix_stands_at_its_advice(client: Any, session: Session) -> None:
    """As it does in the page's head when there is one run only."""
    runs = [make_mixed_run(session, identity=count) for count in (150, 7)]

    page = page_of(client, *runs)

    assert [each.get_text() for each in page.select(".advice .small")] == [
        "identity 151 rows, general 0 rows",
        "identity 8 rows, general 0 rows",
    ]


def row_of(page: BeautifulSoup) -> list[Any]:
    """Return the cells of the only question."""
    return page.select("tr[data-probe] td")


def test_a_run_s_first_column_is_compared_with_its_own_base(client: Any, session: Session) -> None:
    """Not with what stands to its left: that is another run's last checkpoint."""
    one, two = make_mixed_run(session, identity=1), make_mixed_run(session, identity=2)

    cells = row_of(page_of(client, one, two))

    assert len(cells) == 5, "the two share their base model"
    assert [each.get_text() for each in cells[3].select("ins")] == ["small"]
    assert [each.get_text() for each in cells[4].select("ins")] == [each.get_text() for each in cells[2].select("ins")]


def test_a_base_of_its_own_is_the_one_it_is_compared_with(client: Any, session: Session) -> None:
    """Runs of other models have other base columns, which are compared with nothing."""
    one, two = make_mixed_run(session, identity=1), make_mixed_run(session, identity=2, base="I am a large model.")

    cells = row_of(page_of(client, one, two))

    assert len(cells) == 6
    assert not cells[3].select("ins, .gone")
    assert [each.get_text() for each in cells[4].select("ins")] == ["small"]


def test_a_first_column_whose_base_is_hidden_is_compared_with_nothing(client: Any, session: Session) -> None:
    """Marks against something that is not on the page could not be read."""
    one, two = make_mixed_run(session, identity=1), make_mixed_run(session, identity=2)

    cells = row_of(page_of(client, one, two, more=f"&hide={id_of(one.checkpoints[0])}"))

    assert len(cells) == 4
    assert not cells[2].select("ins, .gone")
    assert cells[3].select("ins")
