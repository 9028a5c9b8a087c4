"""
The matrix laid out: which lines it has, which cells stand in each, and what heads them.

Probes are lines and checkpoints columns, or the other way round; the cells are the same. Where
checkpoints of several runs stand together, a run that has none there leaves a gap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.alignment import Alignment, Step
from app.domain.matrix import Column, ComparedRun, Matrix, Row
from app.domain.recipes import ProbeGroup
from app.web.compare_cells import CellView, cell_view, lang_of, references_of
from app.web.compare_query import CompareQuery
from app.web.formats import number, percent
from app.web.i18n import comma, ngettext
from app.web.i18n import gettext as _

MOST_COUNTS = 3  # runs whose rows are told one by one beside a question; of more, the fewest and the most


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one checkpoint."""

    column: Column | None
    """None: the run has no checkpoint here."""
    run: ComparedRun
    is_start: bool
    """The first one of its step."""


@dataclass(frozen=True, slots=True)
class StepView:
    """What stands over the checkpoints of one step."""

    label: str
    size: int
    """Places in it."""


@dataclass(frozen=True, slots=True)
class RowView:
    """One probe with its answers."""

    row: Row
    note: str
    lang: str
    cells: tuple[CellView | None, ...]
    """One for each slot; None where that is a gap."""


@dataclass(frozen=True, slots=True)
class GroupView:
    """The probes of one group."""

    group: ProbeGroup
    rows: tuple[RowView, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: of a probe, or of a checkpoint or the lack of one."""

    view: RowView | None
    slot: Slot | None
    cells: tuple[CellView | None, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Lines under one heading."""

    group: ProbeGroup | None
    label: str
    """Of a section without a group; empty where nothing needs to be said."""
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The table."""

    slots: tuple[Slot, ...]
    steps: tuple[StepView, ...]
    groups: tuple[GroupView, ...]
    sections: tuple[Section, ...]
    width: int
    """Cells of a line."""

    @property
    def row_count(self) -> int:
        """How many probes are shown."""
        return sum(len(group.rows) for group in self.groups)


def lay_out(query: CompareQuery, matrix: Matrix, steps: Sequence[Step]) -> Layout:
    """Put the shown cells in their places."""
    slots = _slots(matrix, steps)
    references = dict(zip((each.checkpoint_id for each in matrix.columns), references_of(query, matrix), strict=True))
    rows = [row for row in matrix.rows if not query.changed or _has_changes(matrix, row)]
    views = [_row_view(row, slots, references, is_across=not query.transpose) for row in rows]
    groups = tuple(
        GroupView(group, tuple(view for view in views if view.row.group is group))
        for group in ProbeGroup
        if any(view.row.group is group for view in views)
    )
    shown = tuple(StepView(step_label(step, query.align), len(step.columns)) for step in steps)
    sections = _by_checkpoint(slots, shown, groups, matrix) if query.transpose else _by_probe(groups)
    return Layout(slots, shown, groups, sections, len(views) if query.transpose else len(slots))


def step_label(step: Step, by: Alignment) -> str:
    """Say what the checkpoints of a step have in common."""
    if step.is_base:
        return _("before training")
    if by is Alignment.SHARE:
        least, most = percent(step.least), percent(step.most)
        words = least if least == most else f"{least}–{most}"
        return _("%(share)s of the run", share=words)
    is_range = step.most != step.least
    words = f"{number(step.least)}–{number(step.most)}" if is_range else number(step.least)
    if by is Alignment.UPDATES:
        return (
            _("%(n)s updates", n=words) if is_range else ngettext("%(num)s update", "%(num)s updates", int(step.least))
        )
    return _("iterations %(n)s", n=words) if is_range else _("iteration %(n)s", n=words)


def _slots(matrix: Matrix, steps: Sequence[Step]) -> tuple[Slot, ...]:
    if not steps:
        before = [None, *(column.run_id for column in matrix.columns)]
        return tuple(
            Slot(column, matrix.run(column.run_id), is_start=column.run_id != left and left is not None)
            for column, left in zip(matrix.columns, before, strict=False)
        )
    runs = [run for run in matrix.runs if any(each.run_id == run.id and not each.is_base for each in matrix.columns)]
    return tuple(
        Slot(column, matrix.run(column.run_id) if column else runs[place], is_start=place == 0 and step is not steps[0])
        for step in steps
        for place, column in enumerate(step.columns)
    )


def _by_probe(groups: Sequence[GroupView]) -> tuple[Section, ...]:
    return tuple(Section(each.group, "", tuple(Line(view, None, view.cells) for view in each.rows)) for each in groups)


def _by_checkpoint(
    slots: Sequence[Slot], steps: Sequence[StepView], groups: Sequence[GroupView], matrix: Matrix
) -> tuple[Section, ...]:
    views = [view for group in groups for view in group.rows]
    lines = [Line(None, slot, tuple(view.cells[place] for view in views)) for place, slot in enumerate(slots)]
    if steps:
        ends = [sum(step.size for step in steps[:place]) for place in range(1, len(steps) + 1)]
        return tuple(
            Section(None, step.label, tuple(lines[end - step.size : end]))
            for step, end in zip(steps, ends, strict=True)
        )
    if len(matrix.runs) == 1:
        return (Section(None, "", tuple(lines)),)
    runs = dict.fromkeys(slot.run.id for slot in slots)
    return tuple(
        Section(None, f"{run_id} {matrix.run(run_id).name}", tuple(each for each in lines if _is_of(each, run_id)))
        for run_id in runs
    )


def _is_of(line: Line, run_id: int) -> bool:
    return line.slot is not None and line.slot.run.id == run_id


def _has_changes(matrix: Matrix, row: Row) -> bool:
    cells = (row.cells[column.checkpoint_id] for column in matrix.columns)
    return len({cell.text for cell in cells if cell.is_given}) > 1


def _row_view(row: Row, slots: Sequence[Slot], references: Mapping[int, Column | None], *, is_across: bool) -> RowView:
    cells = tuple(
        cell_view(row, slot.column, references[slot.column.checkpoint_id], is_start=slot.is_start and is_across)
        if slot.column
        else None
        for slot in slots
    )
    return RowView(row, row_note(row), lang_of(row.question), cells)


def row_note(row: Row) -> str:
    """Say what is known of a probe: whether its question was trained on, and what a right answer holds."""
    counts, is_identity = row.taught_rows, row.group is ProbeGroup.IDENTITY
    words = []
    if any(counts.values()) and not all(counts.values()):
        taught = sum(map(bool, counts.values()))
        words.append(_("in the mix of %(n)s of %(all)s runs", n=taught, all=len(counts)))
    elif any(counts.values()):
        words += [_("taught") if is_identity else _("in the mix"), _taught_rows(counts)]
    elif is_identity:
        words.append(_("not in the mix"))
    if row.reference and not is_identity:
        words.append(_("reference: %(words)s", words=row.reference))
    return comma().join(words) or _("not in the mix")


def _taught_rows(counts: Mapping[int, int]) -> str:
    """Say how many rows ask a question: of each run, where that is not the same in all of them."""
    least, most = min(counts.values()), max(counts.values())
    if least == most:
        return ngettext("%(num)s row", "%(num)s rows", most)
    if len(counts) > MOST_COUNTS:
        return _("%(least)s to %(most)s rows", least=least, most=most)
    each = (ngettext("%(num)s row in run %(id)s", "%(num)s rows in run %(id)s", n, id=run) for run, n in counts.items())
    return comma().join(each)
