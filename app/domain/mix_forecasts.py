"""The sources of a mix in numbers, without a tokenizer: what the form's table shows."""

from dataclasses import dataclass

from app.domain.mix_rows import SourceRows
from app.domain.mixes import count_rows, general_pairs
from app.domain.recipes import GeneralSet, Mix


@dataclass(frozen=True)
class SourceShare:
    """One source of the mix, in numbers."""

    pairs: int
    rows: int | None
    """None while its copies are not known."""
    share: float | None
    """Of all rows, 0 to 1."""


@dataclass(frozen=True)
class MixForecast:
    """Every source of a mix in numbers: what the form's table shows."""

    identity: SourceShare
    sets: dict[GeneralSet, SourceShare]
    own: SourceShare
    files: tuple[SourceShare, ...]
    """Saved sets, in the order of the mix; their rows count as pairs."""
    pairs: int
    rows: int | None

    @property
    def general_rows(self) -> int | None:
        """Rows that are not the identity's."""
        return None if self.rows is None or self.identity.rows is None else self.rows - self.identity.rows

    @property
    def general_share(self) -> float | None:
        """Their share of all rows."""
        return None if self.general_rows is None else self.general_rows / self.rows if self.rows else 0.0


def forecast_mix(mix: Mix, *, knows_identity: bool = True, knows_general: bool = True) -> MixForecast:
    """
    Count each source of a mix.

    Args:
        knows_identity: the identity's count is one; else what depends on it is None.
        knows_general: the same of the general pairs' count.
    """
    identity, general, *saved = count_rows(mix).sources
    total = identity.rows + general.rows + sum(source.rows for source in saved)
    known = total if knows_identity and knows_general else None
    sets, place = {}, 0
    for name in GeneralSet:
        pairs = len(general_pairs(name)) if name in mix.general_sets else 0
        sets[name] = _share(pairs, _rows_of(general, place, pairs) if knows_general else None, known)
        place += pairs
    own = len(mix.general)
    return MixForecast(
        identity=_share(identity.distinct, identity.rows if knows_identity else None, known),
        sets=sets,
        own=_share(own, _rows_of(general, place, own) if knows_general else None, known),
        files=tuple(_share(source.distinct, source.rows, known) for source in saved),
        pairs=sum(source.distinct for source in (identity, general, *saved)),
        rows=known,
    )


def _rows_of(source: SourceRows, first: int, count: int) -> int:
    """Return the rows that a stretch of a source's pairs gives."""
    return sum(source.times(place) for place in range(first, first + count))


def _share(pairs: int, rows: int | None, total: int | None) -> SourceShare:
    share = None if rows is None or total is None else rows / total if total else 0.0
    return SourceShare(pairs=pairs, rows=rows, share=share)
