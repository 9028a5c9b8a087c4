"""What the pages of sweeps show: the list, one sweep, and the answers of one of its checkpoints."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session

from app.domain.answers import CellState, Column, Row, compare
from app.domain.errors import NotFoundError
from app.domain.messages import message
from app.domain.models import Sweep
from app.domain.sweep_plans import SHORT_NAMES, SweepPlan, SweepSetting, Value, value_text
from app.domain.sweep_results import RunResult, SweepResults, results_of
from app.domain.sweeps import SweepProgress, get_sweep, list_sweeps, plan_of, progress_of
from app.web.compare_cells import CellView, cell_view
from app.web.i18n import comma, gettext
from app.web.sweep_map import HeatMap, build_map, order_of, ordered_runs
from app.web.sweep_query import SweepQuery
from app.web.workers import live_workers

PAGE_SIZE = 25
MOST_COMPARED = 24


def short_name(name: SweepSetting) -> str:
    """Return the letters or words that a setting is known by, in the reader's language."""
    return gettext(SHORT_NAMES[name]).lower()


def values_words(result: RunResult, without: SweepSetting | None = None) -> str:
    """Write what a run varies: `n 24, m 1`."""
    shown = [(name, value) for name, value in result.values.items() if name is not without]
    return comma().join(f"{short_name(name)} {value_text(name, value)}" for name, value in shown)


@dataclass(frozen=True)
class SweepRow:
    """One sweep of the list."""

    sweep: Sweep
    plan: SweepPlan
    progress: SweepProgress


@dataclass(frozen=True)
class SweepsPage:
    """The list of sweeps."""

    rows: Sequence[SweepRow]
    total: int
    page: int
    pages: int
    short_names: Mapping[SweepSetting, str] = field(default_factory=lambda: SHORT_NAMES)
    value_text: Callable[[SweepSetting, Value], str] = value_text

    @property
    def is_live(self) -> bool:
        """Whether a row may change by itself."""
        return any(row.progress.is_live for row in self.rows)


@dataclass(frozen=True)
class AnswerPair:
    """What a checkpoint said to one probe, and what the base model had said."""

    row: Row
    view: CellView
    text: str
    base_text: str | None
    """None where the base model has no answer."""


@dataclass(frozen=True)
class SweepAnswers:
    """The answers of one checkpoint beside its base model's."""

    query: SweepQuery
    result: RunResult
    column: Column
    pairs: Sequence[AnswerPair]
    compare_url: str
    values: str
    """What its run varies, in words."""


@dataclass(frozen=True)
class SweepPage:
    """One sweep."""

    query: SweepQuery
    sweep: Sweep
    plan: SweepPlan
    progress: SweepProgress
    results: SweepResults
    map: HeatMap
    table: Sequence[RunResult]
    seconds_left: float | None
    news: str
    """Changes when there is something new to show."""
    open_answers: SweepAnswers | None
    has_worker: bool
    most_compared: int = MOST_COMPARED
    short_names: Mapping[SweepSetting, str] = field(default_factory=lambda: SHORT_NAMES)
    value_text: Callable[[SweepSetting, Value], str] = value_text
    values_words: Callable[..., str] = values_words

    @property
    def order(self) -> SweepSetting | None:
        """The setting that orders the rows; None for the ratio."""
        return order_of(self.results, self.query)

    @property
    def is_mixed(self) -> bool:
        """Whether the runs differ in their mix, so that a ratio says something."""
        return any(name.startswith("mix.") for name in self.varied)

    @property
    def varied(self) -> Sequence[SweepSetting]:
        """The settings that vary."""
        return [axis.setting for axis in self.plan.axes]

    @property
    def is_stopping(self) -> bool:
        """Whether all that trains was asked to stop, and nothing waits."""
        live = [each.run for each in self.results.runs if not each.run.state.is_final]
        return bool(live) and all(run.stop_requested_at is not None for run in live)


def build_list(session: Session, page: int) -> SweepsPage:
    """Read one page of the list."""
    found = list_sweeps(session, offset=(page - 1) * PAGE_SIZE, limit=PAGE_SIZE)
    rows = [SweepRow(sweep, plan_of(sweep), progress) for sweep, progress in found.sweeps]
    return SweepsPage(rows, found.total, page, max(1, -(-found.total // PAGE_SIZE)))


def build_page(session: Session, query: SweepQuery) -> SweepPage:
    """Read everything that the page of a sweep shows."""
    sweep = get_sweep(session, query.sweep_id)
    results = results_of(session, sweep)
    devices = sum(worker.slots for worker in live_workers())
    return SweepPage(
        query=query,
        sweep=sweep,
        plan=plan_of(sweep),
        progress=progress_of(session, [query.sweep_id])[query.sweep_id],
        results=results,
        map=build_map(results, query),
        table=sorted_runs(results, query),
        seconds_left=results.seconds_left(min(sweep.at_once, devices)) if devices else None,
        news=news_of(results),
        open_answers=_open_answers(session, query, results),
        has_worker=devices > 0,
    )


def news_of(results: SweepResults) -> str:
    """Return what changes when a run of a sweep has got further."""
    answered = sum(len(each.tuned) for each in results.runs)
    iterations = sum(each.run.iteration for each in results.runs)
    states = "".join(each.run.state[0] for each in results.runs)
    return f"{answered}.{iterations}.{states}.{results.sweep.at_once}"


# ── The table of runs ──────────────────────────────────────────────────────

_SORTS: dict[str, Callable[[RunResult], Any]] = {
    "run": lambda each: each.run.id,
    "state": lambda each: each.run.state.value,
    "learnt": lambda each: each.first_learnt,
    "leak": lambda each: each.first_leak,
    "good": lambda each: len(each.window) or None,
    "keep": lambda each: each.advice.iteration,
    "loss": lambda each: each.run.loss,
    "time": lambda each: each.seconds,
}


def sorted_runs(results: SweepResults, query: SweepQuery) -> list[RunResult]:
    """Return the runs in the order of the table; those that have nothing there stand last, whichever way it goes."""
    ordered, name = ordered_runs(results, query), query.sort.removeprefix("-")
    key = _SORTS.get(name)
    if name in set(SweepSetting):
        setting = SweepSetting(name)
        key = lambda each: each.values.get(setting)  # noqa: E731 - one line of a table of keys
    if key is None:
        return ordered
    told = [each for each in ordered if key(each) is not None]
    return sorted(told, key=key, reverse=query.sort.startswith("-")) + [each for each in ordered if key(each) is None]


# ── The answers of one checkpoint ──────────────────────────────────────────


def answers_of(session: Session, query: SweepQuery, checkpoint_id: int) -> SweepAnswers:
    """Read the answers of one checkpoint; NotFoundError when it is none of this sweep's."""
    opened = _open_answers(session, query, results_of(session, get_sweep(session, query.sweep_id)), checkpoint_id)
    if opened is None:
        raise NotFoundError(message("This checkpoint is not part of the sweep."))
    return opened


def _open_answers(
    session: Session, query: SweepQuery, results: SweepResults, checkpoint_id: int | None = None
) -> SweepAnswers | None:
    wanted = checkpoint_id or query.cell
    found = (each for each in results.runs if any(one.checkpoint_id == wanted for one in each.judged))
    result = next(found, None)
    if wanted is None or result is None:
        return None
    matrix = compare(session, checkpoint_ids=[wanted])
    column = matrix.column(wanted)
    if column is None:
        return None
    base = matrix.base_of(column)
    pairs = [_pair(row, column, base) for row in matrix.rows]
    ids = ",".join(str(each) for each in (result.base_id, wanted) if each)
    return SweepAnswers(query, result, column, pairs, f"/compare?checkpoints={ids}", values_words(result))


def _pair(row: Row, column: Column, base: Column | None) -> AnswerPair:
    cell = row.cells[column.checkpoint_id]
    before = row.cells[base.checkpoint_id] if base else None
    is_there = before is not None and before.state is CellState.GIVEN
    view = cell_view(row, column, base if is_there else None)
    return AnswerPair(row, view, cell.text, before.text if before is not None and is_there else None)
