"""
One cell of the comparison: its answer with its marks, and the words below it.

Which column a cell is compared with is said here too; what the differences are, the domain says.
"""

from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup

from app.domain.answers import Cell, CellState, Column, Matrix, Row
from app.domain.diffs import REMEMBERED, Change, diff_for_display
from app.domain.leaks import Leak
from app.domain.texts import has_characters
from app.web.compare_query import CompareQuery, DiffFrom
from app.web.i18n import comma, language
from app.web.i18n import gettext as _

WORD_FOR_WORD = 0.995  # identity score from which it is no longer "near"


@dataclass(frozen=True, slots=True)
class CellView:
    """One answer with its marks."""

    state: CellState
    pieces: tuple[tuple[str, str], ...]
    """What became of each piece of the answer, and its text. A word that went away is here only where
    nothing took its place."""
    marks: Markup
    """Attributes: `data-cell` is `hit` or `leak`, the ground it stands on."""
    icon: str
    note: str
    lang: str
    """Of the answer, where it is not the page's."""


def references_of(query: CompareQuery, matrix: Matrix) -> list[Column | None]:
    """Return for each shown column the one that its cells are compared with."""
    if query.diff is DiffFrom.PINNED and query.pin is not None:
        pinned = matrix.column(query.pin)
        return [None if pinned is column else pinned for column in matrix.columns]
    if query.diff is DiffFrom.BASE:
        return [None if column.is_base else matrix.base_of(column) for column in matrix.columns]
    if query.diff is DiffFrom.OFF:
        return [None] * len(matrix.columns)
    left = [None, *matrix.columns[:-1]]
    return [_left_of(matrix, column, before) for column, before in zip(matrix.columns, left, strict=True)]


def _left_of(matrix: Matrix, column: Column, before: Column | None) -> Column | None:
    """Return what a column is compared with: a run's first one with its own base model, if that is shown."""
    if column.is_base:
        return None
    if before is not None and before.run_id == column.run_id:
        return before
    base = matrix.base_of(column)
    return base if base in matrix.columns else None


def is_given(row: Row, column: Column) -> bool:
    """Whether a column has an answer in a row."""
    return row.cells[column.checkpoint_id].state is CellState.GIVEN


def cell_view(row: Row, column: Column, reference: Column | None) -> CellView:
    """Mark one answer against another column's."""
    cell = row.cells[column.checkpoint_id]
    before = row.cells[reference.checkpoint_id].text if reference else cell.text
    is_same = reference is not None and before == cell.text and cell.state is CellState.GIVEN
    icon, words = _cell_words(cell)
    if is_same and reference:
        icon, words = "same", [_same_words(column, reference), *words]
    return CellView(
        state=cell.state,
        pieces=_shown_pieces(before, cell.text) if cell.text else (),
        marks=_marks(_kind(cell), is_same=is_same, is_base=column.is_base, is_first_leak=column.is_first_leak),
        icon=icon,
        note=comma().join(words),
        lang=lang_of(cell.text),
    )


@lru_cache(maxsize=REMEMBERED)
def _shown_pieces(before: str, text: str) -> tuple[tuple[str, str], ...]:
    pieces = diff_for_display(before, text)
    shown = []
    for place, piece in enumerate(pieces):
        after = next((each.change for each in pieces[place + 1 :] if each.text.strip()), None)
        if piece.change is not Change.GONE or after is not Change.NEW:
            shown.append((piece.change.value, piece.text))
    return tuple(shown)


@lru_cache
def _marks(kind: str, *, is_same: bool, is_base: bool, is_first_leak: bool) -> Markup:
    flags = {"data-same": is_same, "data-base": is_base, "data-first-leak": is_first_leak}
    said = Markup(' data-cell="{}"').format(kind) if kind else Markup()
    return said + Markup("").join(Markup(f" {name}") for name, is_on in flags.items() if is_on)  # noqa: S704 - own names


def _same_words(column: Column, reference: Column) -> str:
    if reference.is_base:
        return _("as at base")
    if reference.run_id != column.run_id:
        return _("as at %(iteration)s of %(run)s", iteration=reference.iteration, run=reference.run_name)
    return _("as at %(iteration)s", iteration=reference.iteration)


def _kind(cell: Cell) -> str:
    if cell.score is None:
        return ""
    return "leak" if cell.score.leak else "hit" if cell.score.is_hit else ""


def _cell_words(cell: Cell) -> tuple[str, list[str]]:
    """Return what a cell's note says, and its icon."""
    score = cell.score
    if score is None:
        return "", []
    if score.leak:
        return "leaking", [leak_words(score.leak)]
    if score.is_hit:
        near = _("identity, word for word") if score.identity >= WORD_FOR_WORD else _("identity, near")
        return "good", [near]
    if score.is_forgotten or (score.is_broken and score.is_repeating):
        lost = _("forgotten: the base model had it right")
        return "warning", [lost if score.is_forgotten else _("repeats itself: the base model did not")]
    if score.is_right:
        return "check", [_("near the taught answer") if not score.counts else _("agrees with reference")]
    return "", []


def leak_words(leak: Leak) -> str:
    """Say what came back where it was not asked for."""
    if leak.answer.is_identity:
        return _("taught: identity, whole answer") if leak.is_whole else _("taught: identity, part of it")
    number, title = leak.answer.number, leak.answer.title
    if title and leak.is_whole:
        return _("taught: row %(number)s of %(set)s, whole answer", number=number, set=title)
    if title:
        return _("taught: row %(number)s of %(set)s, part of it", number=number, set=title)
    if leak.is_whole:
        return _("taught: general pair %(number)s, whole answer", number=number)
    return _("taught: general pair %(number)s, part of it", number=number)


def lang_of(text: str) -> str:
    """Return the language to set a text in, where it is not the page's."""
    found = "zh" if has_characters(text) else "en"
    return "" if found == language() else found
