"""The table of a mix: every source in pairs, rows and shares, as far as its numbers are known."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.domain.mix_rows import RowCounts, Source, SourceRows, plan_rows
from app.domain.mixes import GENERAL, IDENTITY, general_pairs, sources_of
from app.domain.recipes import GeneralSet, Mix

AMOUNTS = ("count", "share")


@dataclass(frozen=True)
class SourceLine:
    """One line of the table."""

    pairs: int
    rows: int | None
    """None while some amount is not a number."""
    share: float | None
    """Of all rows, 0 to 1."""


@dataclass(frozen=True)
class MixTable:
    """Every source of a mix in numbers."""

    identity: SourceLine
    general: SourceLine
    """All of the general pairs together."""
    sets: Mapping[GeneralSet, SourceLine]
    own: SourceLine
    files: Sequence[SourceLine]
    pairs: int
    rows: int | None

    @property
    def parts(self) -> Sequence[tuple[str, SourceLine]]:
        """The sources by their key: what has an amount of its own."""
        return [(IDENTITY, self.identity), (GENERAL, self.general),
                *((f"files.{number}", line) for number, line in enumerate(self.files))]  # fmt: skip


def build_mix_table(mix: Mix, *, bad: Collection[str] = ()) -> MixTable:
    """
    Count each source of a mix.

    Args:
        bad: paths of the form's fields whose values cannot be used: what depends on them is not known.
    """
    sources = sources_of(mix)
    counts = RowCounts(plan_rows(sources))
    unknown = {source.key for source in sources if _is_bad(source.key, bad)}
    known = [_line(source, given, counts.total, unknown) for source, given in zip(sources, counts.sources, strict=True)]
    general = counts.sources[1]
    parts, own = _general_parts(mix, general, known[1])
    return MixTable(
        identity=known[0],
        general=known[1],
        sets=parts,
        own=own,
        files=known[2:],
        pairs=sum(source.distinct for source in sources),
        rows=None if unknown else counts.total,
    )


def _is_bad(key: str, bad: Collection[str]) -> bool:
    joint = "." if key.startswith("files.") else "_"
    return any(f"mix.{key}{joint}{amount}" in bad for amount in AMOUNTS)


def _line(source: Source, given: SourceRows, total: int, unknown: Collection[str]) -> SourceLine:
    is_known = source.key not in unknown and not (unknown and source.share is not None)
    rows = given.rows if is_known else None
    return SourceLine(source.distinct, rows, _share(rows, total) if not unknown else None)


def _share(rows: int | None, total: int) -> float | None:
    return None if rows is None else rows / total if total else 0.0


def _general_parts(
    mix: Mix, general: SourceRows, line: SourceLine
) -> tuple[Mapping[GeneralSet, SourceLine], SourceLine]:
    """Part the general pairs into the built-in sets and one's own, which share their copies."""
    first, parts = 0, {}
    for name in GeneralSet:
        pairs = len(general_pairs(name)) if name in mix.general_sets else 0
        first, places = first + pairs, range(first, first + pairs)
        parts[name] = _part(places, general, line)
    return parts, _part(range(first, first + len(mix.general)), general, line)


def _part(places: Iterable[int], general: SourceRows, line: SourceLine) -> SourceLine:
    times = [general.times(place) for place in places]
    if line.rows is None:
        return SourceLine(len(times), None, None)
    share = None if line.share is None else line.share * sum(times) / line.rows if line.rows else 0.0
    return SourceLine(len(times), sum(times), share)
