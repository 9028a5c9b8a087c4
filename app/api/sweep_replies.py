"""What the API says of a sweep, its runs and what it will do."""

from datetime import datetime

from sqlmodel import Session

from app.api.paging import Page
from app.api.types import Reply
from app.domain.models import RunState, StopCause, Sweep
from app.domain.recipes import Recipe
from app.domain.runs import id_of
from app.domain.sweep_forecasts import SweepForecast
from app.domain.sweep_plans import SweepAxis, SweepSetting
from app.domain.sweep_results import RunResult, SweepResults, results_of
from app.domain.sweeps import SweepProgress, plan_of, progress_of, sweep_id_of
from app.domain.verdicts import Verdict


class SweepSummary(Reply):
    """A sweep as lists show it."""

    id: int
    name: str
    axes: list[SweepAxis]
    at_once: int
    stops_parrots: bool
    runs: int
    by_state: dict[RunState, int]
    parrots: int
    """Runs that were stopped because they had become parrots."""
    created_at: datetime


class SweepList(Page):
    """One page of sweeps."""

    sweeps: list[SweepSummary]
    total: int


class IterationVerdict(Reply):
    """What one checkpoint's answers say of it."""

    checkpoint_id: int
    iteration: int
    verdict: Verdict
    identity: float
    leaks: int
    leak_total: int


class SweepRun(Reply):
    """One run of a sweep, in a few numbers."""

    id: int
    name: str
    state: RunState
    stopped_by: StopCause | None
    values: dict[SweepSetting, int | float]
    """Of the settings that vary."""
    identity_rows: int
    other_rows: int
    iteration: int
    iterations: int
    loss: float | None
    seconds: float | None
    """From its first start to its end, or until now."""
    first_learnt: int | None
    first_leak: int | None
    good_in_a_row: int
    """Checkpoints of its best good window."""
    keep: int | None
    """The iteration to keep of this run."""
    verdicts: list[IterationVerdict]
    """By iteration, without the base model."""


class Recommendation(Reply):
    """Which checkpoint of a sweep to keep, and why; null where none is good."""

    run_id: int | None
    checkpoint_id: int | None
    iteration: int | None
    reason: str


class SweepDetail(SweepSummary):
    """A sweep with its runs and what to keep of them."""

    recipe: Recipe
    """What its runs have in common."""
    run_results: list[SweepRun]
    recommendation: Recommendation


class PlannedSweepRun(Reply):
    """One run of a sweep before it starts."""

    name: str
    values: dict[SweepSetting, int | float]
    iterations: int | None
    seconds: float | None


class SweepForecastReply(Reply):
    """What is known of a sweep before it starts; null where it is not known, and `unknown` says why."""

    runs: list[PlannedSweepRun]
    iterations: int | None
    """Of all runs together."""
    seconds: float | None
    lanes: int
    """Runs that train at the same time."""
    disk_bytes: int | None
    memory_bytes: int | None
    measured_on: str
    unknown: list[str]


def sweep_summary(sweep: Sweep, progress: SweepProgress) -> dict[str, object]:
    plan = plan_of(sweep)
    return {
        "id": sweep_id_of(sweep),
        "name": sweep.name,
        "axes": plan.axes,
        "at_once": sweep.at_once,
        "stops_parrots": sweep.stops_parrots,
        "runs": progress.total,
        "by_state": progress.by_state,
        "parrots": progress.parrots,
        "created_at": sweep.created_at,
    }


def sweep_detail(session: Session, sweep: Sweep) -> SweepDetail:
    session.flush()  # its runs are counted by the database
    sweep_id = sweep_id_of(sweep)
    results = results_of(session, sweep)
    return SweepDetail(
        **sweep_summary(sweep, progress_of(session, [sweep_id])[sweep_id]),
        recipe=plan_of(sweep).recipe,
        run_results=[_run(each) for each in results.runs],
        recommendation=_recommendation(results),
    )


def _run(result: RunResult) -> SweepRun:
    run = result.run
    return SweepRun(
        id=id_of(run),
        name=run.name,
        state=run.state,
        stopped_by=run.stopped_by,
        values=dict(result.values),
        identity_rows=result.rows.identity,
        other_rows=result.rows.total - result.rows.identity,
        iteration=run.iteration,
        iterations=run.iterations,
        loss=run.loss,
        seconds=result.seconds,
        first_learnt=result.first_learnt,
        first_leak=result.first_leak,
        good_in_a_row=len(result.window),
        keep=result.advice.iteration,
        verdicts=[
            IterationVerdict(
                checkpoint_id=each.checkpoint_id,
                iteration=each.iteration,
                verdict=each.score.verdict,
                identity=each.score.identity,
                leaks=each.score.leaks,
                leak_total=each.score.leak_total,
            )
            for each in result.tuned
            if each.score.verdict is not None
        ],
    )


def _recommendation(results: SweepResults) -> Recommendation:
    best, reason = results.best, str(results.reason)
    if best is None:
        return Recommendation(run_id=None, checkpoint_id=None, iteration=None, reason=reason)
    advice = best.advice
    return Recommendation(
        run_id=id_of(best.run), checkpoint_id=advice.checkpoint_id, iteration=advice.iteration, reason=reason
    )


def forecast_reply(known: SweepForecast) -> SweepForecastReply:
    return SweepForecastReply(
        runs=[
            PlannedSweepRun(
                name=each.planned.recipe.name,
                values=dict(each.planned.values),
                iterations=each.known.iterations,
                seconds=each.seconds,
            )
            for each in known.runs
        ],
        iterations=known.iterations,
        seconds=known.seconds,
        lanes=known.lanes,
        disk_bytes=known.disk_bytes,
        memory_bytes=known.memory_bytes,
        measured_on=known.measured_on,
        unknown=[str(reason) for reason in known.unknown],
    )
