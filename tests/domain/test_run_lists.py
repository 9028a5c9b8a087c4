"""Pages of runs, cut behind a row: the same on both databases."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlmodel import Session

from app.domain.models import RunState, StoredScore
from app.domain.paging import Mark
from app.domain.run_lists import SORTS, RunFilter, list_runs, mark_of
from app.domain.runs import id_of
from tests.factories import make_checkpoint, make_model, make_run


def pages(session: Session, sort: str, *, limit: int) -> Iterator[list[int]]:
    """Walk through a list page by page."""
    after: Mark | None = None
    while runs := list_runs(session, sort=sort, after=after, limit=limit).runs:
        yield [id_of(run) for run in runs]
        after = mark_of(session, runs[-1], sort)


@pytest.mark.parametrize("sort", [*SORTS, *(f"-{name}" for name in SORTS)])
def test_pages_together_are_the_list(session: Session, sort: str) -> None:
    """With equals, with capitals and with nothing to sort by."""
    for number, name in enumerate(["b", "A", "ä", "a", "B"]):
        state = RunState.QUEUED if number % 2 else RunState.FINISHED
        make_run(session, name=name, loss=None if number % 2 else 0.1 + number, state=state)

    cut = list(pages(session, sort, limit=2))

    assert [len(page) for page in cut] == [2, 2, 1]
    assert [run_id for page in cut for run_id in page] == [id_of(run) for run in list_runs(session, sort=sort).runs]


def test_a_filter_leaves_what_fits(session: Session) -> None:
    """Each by itself; the counts are of what fits too."""
    one = make_run(session, name="one", model=make_model(session, name="other"))
    make_run(session, name="two")
    made = make_checkpoint(session, one, iteration=5)
    session.merge(StoredScore(checkpoint_id=id_of(made), fingerprint="x", verdict="good", counts={}))
    moment = timedelta(microseconds=1)

    filters = [
        RunFilter(name="one"),
        RunFilter(model="other"),
        RunFilter(verdict="good"),
        RunFilter(created_before=one.created_at + moment),
        RunFilter(created_after=one.created_at - moment, created_before=one.created_at + moment),
    ]
    found = [list_runs(session, chosen=each) for each in filters]

    assert [[run.name for run in page.runs] for page in found] == [["one"]] * len(filters)
    assert {page.total for page in found} == {1}
    assert list_runs(session, chosen=RunFilter(sweep_id=9)).total == 0
