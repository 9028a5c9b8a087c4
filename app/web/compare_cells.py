"""
One cell of the comparison: its answer with its marks, and the words below it.

Which column a cell is compared with is said here too; what the differences are, the domain says.
"""

from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup, escape

from app.domain.diffs import REMEMBERED, Change, diff_for_display, split_at
from app.domain.leaks import Leak
from app.domain.matrix import Cell, CellState, Column, Matrix, Row
from app.domain.scores import AnswerScore
from app.domain.texts import has_characters
from app.web.compare_query import CompareQuery, DiffFrom
from app.web.i18n import comma, language
from app.web.i18n import gettext as _

WORD_FOR_WORD = 0.995  # identity score from which it is no longer "near"


@dataclass(frozen=True, slots=True)
class CellView:
    """One answer with its marks."""

    state: CellState
    answer: Markup
    """Its text, with what became of each piece of it and with what was taught elsewhere. A word that went away is
    here only where nothing took its place."""
    marks: Markup
    """Attributes: `data-cell` is `hit` or `leak`, the ground it stands on; `data-leak-first` the run's first leak."""
    icon: str
    note: str
    lang: str
    """Of the answer, where it is not the page's."""
    answer_id: int | None


def references_of(query: CompareQuery, matrix: Matrix) -> list[Column | None]:
    """Return for each shown column the one that its cells are compared with."""
    if query.diff is DiffFrom.PINNED and query.pin is not None:
        pinned = matrix.column(query.pin)
        return [None if pinned is column else pinned for column in matrix.columns]
    if query.diff is DiffFrom.BASE:
        return [None if column.is_base else matrix.base_of(column) for column in matrix.columns]
    if query.diff is DiffFrom.OFF:
        return [None] * len(matrix.columns)
    return _before_each(matrix)


def _before_each(matrix: Matrix) -> list[Column | None]:
    """Return what stands before each column in its own run; before a run's first one its base, if that is shown."""
    shown = {column.checkpoint_id: column for column in matrix.columns}
    last = {run.id: shown.get(run.base_id or 0) for run in matrix.runs}
    before: list[Column | None] = []
    for column in matrix.columns:
        before.append(None if column.is_base else last[column.run_id])
        if not column.is_base:
            last[column.run_id] = column
    return before


def is_given(row: Row, column: Column) -> bool:
    """Whether a column has an answer in a row."""
    return row.cells[column.checkpoint_id].state is CellState.GIVEN


def cell_view(row: Row, column: Column, reference: Column | None, *, is_start: bool = False) -> CellView:
    """Mark one answer against another column's; `is_start`: its column is the first of its step."""
    cell = row.cells[column.checkpoint_id]
    if reference is not None and not is_given(row, reference):
        reference = None
    before = row.cells[reference.checkpoint_id].text if reference else cell.text
    is_same = reference is not None and before == cell.text and cell.state is CellState.GIVEN
    icon, words = _cell_words(cell)
    is_first = column.is_first_leak and cell.is_leak
    if is_first:
        icon, words = "flag", [_("first leak"), *words]
    if is_same and reference:
        icon, words = "flag" if is_first else "same", [_same_words(column, reference), *words]
    leak = cell.score.leak if cell.score else None
    span = (leak.start, leak.end) if leak else None
    flags = (is_same, column.is_base, column.is_first_leak, is_first, is_start)
    return CellView(
        state=cell.state,
        answer=_marked(before, cell.text, span),
        marks=_marks(_kind(cell), flags),
        icon=icon,
        note=comma().join(words),
        lang=lang_of(cell.text),
        answer_id=cell.answer_id,
    )


TAGS = {
    (Change.SAME, False): ("", ""),
    (Change.NEW, False): ("<ins>", "</ins>"),
    (Change.SAME, True): ("<mark>", "</mark>"),
    (Change.NEW, True): ("<mark><ins>", "</ins></mark>"),
}
GONE = '<del class="gone"></del>'


@lru_cache(maxsize=REMEMBERED)
def _marked(before: str, text: str, taught: tuple[int, int] | None) -> Markup:
    """Write an answer's text once for all pages: a thousand cells of a dozen pieces are too many for a template."""
    if not text:
        return Markup()
    pieces = split_at(diff_for_display(before, text), taught or (0, 0))
    shown = []
    for place, (piece, is_taught) in enumerate(pieces):
        if piece.change is Change.GONE:
            after = next((each.change for each, _ in pieces[place + 1 :] if each.text.strip()), None)
            shown.append("" if after is Change.NEW else GONE)
        else:
            begin, end = TAGS[piece.change, is_taught]
            shown.append(f"{begin}{escape(piece.text)}{end}")
    return Markup("".join(shown))  # noqa: S704 - every text in it is escaped


FLAGS = ("data-same", "data-base", "data-first-leak", "data-leak-first", "data-start")


@lru_cache
def _marks(kind: str, flags: tuple[bool, ...]) -> Markup:
    said = Markup(' data-cell="{}"').format(kind) if kind else Markup()
    return said + Markup("").join(Markup(f" {name}") for name, is_on in zip(FLAGS, flags, strict=True) if is_on)  # noqa: S704 - own names


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
    lost = _lost_words(score)
    if lost:
        return "warning", [lost]
    if score.is_right:
        return "check", [_("near the taught answer") if not score.counts else _("agrees with reference")]
    return "", []


def _lost_words(score: AnswerScore) -> str:
    """Say what is wrong with an answer in which nothing leaks."""
    if score.is_misnumbered:
        return _("identity, with a number that was not taught")
    if score.is_forgotten:
        return _("forgotten: the base model had it right")
    return _("repeats itself: the base model did not") if score.is_broken and score.is_repeating else ""


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
