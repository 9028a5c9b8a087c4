"""How many rows each source gives."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.domain.mix_rows import Source, SourceRows, plan_rows, shares_fit


def source(distinct: int, *, count: int = 0, share: float | None = None) -> Source:
    """Return a source whose key does not matter."""
    return Source("identity", "", distinct, count, share)


@given(
    distinct=st.integers(1, 500),
    count=st.integers(0, 50),
    shared=st.integers(1, 500),
    share=st.floats(0.01, 0.95),
)
@settings(max_examples=50, deadline=None)
def test_a_share_is_met_as_nearly_as_whole_rows_can(distinct: int, count: int, shared: int, share: float) -> None:
    """Half a row off at most; a source that is asked for gives one row at least."""
    counted, fitted = plan_rows([source(distinct, count=count), source(shared, share=share)])

    exact = counted.rows * share / (1 - share)
    assert counted.rows == distinct * (1 + count)
    assert fitted.rows == 1 or abs(fitted.rows - exact) <= 0.5 + 1e-6


@given(data=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 20)), min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_shares_alone_show_every_row_once(data: list[tuple[int, int]]) -> None:
    """Nothing is left out, and one source at least gives each of its rows just once."""
    weights = sum(weight for _, weight in data)
    assume(len(data) > 1)
    planned = plan_rows([source(distinct, share=weight / weights) for distinct, weight in data])

    assert all(each.rows >= each.distinct for each in planned)
    assert min(each.rows - each.distinct for each in planned) <= 1


def test_a_share_that_is_next_to_nothing_gives_each_row_once() -> None:
    """The smallest number there is makes no infinite mix."""
    planned = plan_rows([source(3), source(2, share=5e-324)]), plan_rows([source(2, share=5e-324)])

    assert [[each.rows for each in sources] for sources in planned] == [[3, 1], [2]]


@pytest.mark.parametrize(
    ("sources", "fit"),
    [
        ([source(3)], True),
        ([source(3), source(3, share=0.9)], True),
        ([source(3), source(3, share=0.5), source(3, share=0.5)], False),
        ([source(3, share=0.33), source(3, share=0.33), source(3, share=0.33)], True),
        ([source(3, share=0.3), source(3, share=0.3)], False),
        ([source(3), source(0, share=0.9), source(3, share=0.5)], True),
    ],
)
def test_shares_must_leave_room_or_make_up_the_whole(sources: list[Source], fit: bool) -> None:
    """A source without rows asks for nothing."""
    assert shares_fit(sources) is fit


@given(distinct=st.integers(1, 60), rows=st.integers(1, 300))
@settings(max_examples=50, deadline=None)
def test_every_place_is_counted_as_often_as_it_is_given(distinct: int, rows: int) -> None:
    """What `times` says of each place adds up to the rows."""
    planned = SourceRows("general", "", distinct, rows)

    assert sum(planned.times(place) for place in range(distinct)) == rows
