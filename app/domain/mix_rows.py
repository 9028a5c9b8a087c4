"""
How many rows each source of a mix gives, and in which order: numbers only.

A source with a count gives each of its rows once and so many times more. Sources with a wanted
share of all rows are fitted around those: with F counted rows and shares that sum to S there are
F / (1 - S) rows in all. Where every source has a share, there are as few rows as show each row of
each source once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

SHARES_TOLERANCE = 0.015  # three thirds written with two digits make 0.99
MOST_ROWS = 2.0**53  # beyond that a float counts no more


@dataclass(frozen=True)
class Source:
    """What is asked of one source."""

    key: str
    """`identity`, `general`, or `files.0` and so on: its place in the mix."""
    title: str
    """A saved set's name; empty for the other two."""
    distinct: int
    """Rows that it holds."""
    count: int
    """Copies beside the one that is always there."""
    share: float | None
    """Of all rows; takes the place of the count."""


@dataclass(frozen=True)
class SourceRows:
    """What one source gives."""

    key: str
    title: str
    distinct: int
    rows: int

    @property
    def first(self) -> int:
        """Rows that stand in the first block: each once, or fewer where the share is smaller than that."""
        return min(self.rows, self.distinct)

    @property
    def passes(self) -> int:
        """Whole passes after the first block."""
        return (self.rows - self.first) // self.distinct if self.distinct else 0

    @property
    def rest(self) -> int:
        """Rows of the last, unfinished pass, evenly spaced."""
        return (self.rows - self.first) % self.distinct if self.distinct else 0

    def times(self, place: int) -> int:
        """Count how often the row at a place of the source is given."""
        return self.passes + sum(_is_spaced(place, count, self.distinct) for count in (self.first, self.rest))


@dataclass(frozen=True)
class RowCounts:
    """How many rows each source gives."""

    sources: tuple[SourceRows, ...]

    @property
    def identity(self) -> int:
        """Rows of the identity pairs."""
        return self.sources[0].rows

    @property
    def general(self) -> int:
        """Rows of the general pairs."""
        return self.sources[1].rows

    @property
    def files(self) -> int:
        """Rows of all saved sets."""
        return sum(source.rows for source in self.sources[2:])

    @property
    def total(self) -> int:
        """All rows of the mix."""
        return sum(source.rows for source in self.sources)


def _is_spaced(place: int, count: int, distinct: int) -> bool:
    """Whether a place is one of `count` that are evenly spaced among all: `i * distinct // count`."""
    return count > 0 and -(-place * count // distinct) * distinct // count == place


def sum_of_shares(sources: Sequence[Source]) -> float:
    """Return what the shares of the sources that hold rows sum to."""
    return math.fsum(source.share for source in sources if source.share is not None and source.distinct)


def counted_rows(sources: Sequence[Source]) -> int:
    """Return the rows of the sources without a share."""
    return sum(source.distinct * (1 + source.count) for source in sources if source.share is None)


def shares_fit(sources: Sequence[Source]) -> bool:
    """Whether the shares leave room for the counted rows, or make up the whole where there are none."""
    shares = sum_of_shares(sources)
    if counted_rows(sources) or not shares:
        return shares < 1
    return abs(shares - 1) <= SHARES_TOLERANCE


def plan_rows(sources: Sequence[Source]) -> tuple[SourceRows, ...]:
    """Give each source its rows; shares that cannot be had count as none, and each row comes once."""
    shares, counted = sum_of_shares(sources), counted_rows(sources)
    if counted:
        total, least = (counted / (1 - shares) if shares < 1 else 0.0), 1
        return tuple(_given(source, total, least=least) for source in sources)
    shared = [source for source in sources if source.share and source.distinct]
    wanted = (source.distinct * shares / (source.share or 1) for source in shared)
    whole = max((math.ceil(min(rows, MOST_ROWS)) for rows in wanted), default=0)
    total = min(whole / (shares or 1), MOST_ROWS)  # of shares that are next to nothing it would be infinite
    return tuple(_given(source, total, least=source.distinct) for source in sources)


def _given(source: Source, total: float, *, least: int) -> SourceRows:
    if not source.distinct:
        rows = 0
    elif source.share is None:
        rows = source.distinct * (1 + source.count)
    else:
        rows = max(round(source.share * total), least) if total else source.distinct
    return SourceRows(source.key, source.title, source.distinct, rows)
