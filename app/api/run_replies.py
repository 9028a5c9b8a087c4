"""What the API says of a run, its attempts and its metrics."""

from datetime import datetime

from sqlmodel import Session

from app.api.answers import AnswerReply
from app.api.checkpoints import CheckpointReply
from app.api.paging import Page
from app.api.types import Reply
from app.domain.models import Attempt, ReasonKind, Run, RunState, StopCause
from app.domain.reasons import reason_text
from app.domain.recipes import Recipe
from app.domain.runs import id_of, recipe_of
from app.domain.stopping import iterations_of_stop, stop_reason
from app.domain.stored_scores import scores_of
from app.domain.trainer_events import MetricMeasured
from app.domain.waiting import place_of


class ReasonReply(Reply):
    """Why a run or an artifact failed."""

    kind: ReasonKind
    message: str
    """What its owner can do about it."""
    detail: str = ""
    """The failure's own words."""


class RunSummary(Reply):
    """A run as lists show it."""

    id: int
    name: str
    model: str
    state: RunState
    phase: str
    """What the trainer does now; empty unless the run is running."""
    iteration: int
    iterations: int
    """Planned; 0 until the data is packed."""
    updates: int
    loss: float | None
    seconds_per_iteration: float | None
    newest_answer: str
    """First words of the newest answer to the first probe."""
    reason: ReasonReply | None
    """Of a failed run."""
    is_stopping: bool
    """A stop was asked for and the trainer still works."""
    stopped_by: StopCause | None
    """Who or what stopped it before its end, or is about to; null where nobody did."""
    after_run_id: int | None
    """The run that must have ended before this one starts."""
    sweep_id: int | None
    """The sweep that it is a part of."""
    imported_from: str
    """The folder of a run that was made by hand with xtuner; empty for Temper's own."""
    restarts: int
    """Attempts that were lost in a row without a new checkpoint."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class AttemptReply(Reply):
    """One trainer process of a run."""

    number: int
    worker: str
    device: str
    """What it trained on; empty of attempts before this was written down."""
    resumed_from: int
    """Iteration of the checkpoint that it went on from; 0 for the start."""
    reason: ReasonReply | None
    """Why it did not finish; null where it did, was stopped, or saved and left."""
    exit_code: int | None
    started_at: datetime
    ended_at: datetime | None


class RunDetail(RunSummary):
    """A run with everything it is made of."""

    recipe: Recipe
    attempts: list[AttemptReply]
    cloned_from_id: int | None
    """The run whose recipe this one's was made from."""
    place: int | None
    """In the queue, counted from 1; null unless the run waits."""
    mix_sha256: str
    """Of the rows that are trained on; empty until the run starts."""
    attempt: int
    worker: str
    stop_reason: str | None
    """Why a rule stopped it, with the figures; null where no rule did."""
    log_tail: str
    """The trainer's last lines, of a failed run."""


class RunList(Page):
    """One page of runs."""

    runs: list[RunSummary]
    total: int
    """How many there are in all that fit."""
    by_state: dict[RunState, int]
    """Of those that fit but for their state."""


class MetricReply(Reply):
    """What was measured at one iteration."""

    iteration: int
    loss: float | None
    """Null where it was not a finite number."""
    learning_rate: float
    grad_norm: float | None
    seconds: float
    memory_bytes: int


class MetricList(Page):
    """A run's metrics, by iteration."""

    run_id: int
    metrics: list[MetricReply]


class CheckpointList(Page):
    """A run's checkpoints by iteration, the base model first."""

    run_id: int
    checkpoints: list[CheckpointReply]


class AnswerList(Page):
    """Every answer of a run: by checkpoint, then by probe."""

    run_id: int
    answers: list[AnswerReply]


def run_summary(run: Run) -> RunSummary:
    return RunSummary(**_common(run))


def run_detail(session: Session, run: Run) -> RunDetail:
    return RunDetail(
        **_common(run),
        attempts=[_attempt(attempt) for attempt in run.attempts],
        place=place.number if (place := place_of(session, run)) else None,
        recipe=recipe_of(run),
        cloned_from_id=run.cloned_from_id,
        mix_sha256=run.mix_sha256,
        attempt=run.attempt,
        worker=run.worker,
        stop_reason=_stop_reason(session, run),
        log_tail=run.log_tail,
    )


def _stop_reason(session: Session, run: Run) -> str | None:
    iterations = iterations_of_stop(session, run)
    judged = scores_of(session, [run])[id_of(run)] if iterations else []
    reason = stop_reason(run.stopped_by, iterations, judged)
    return None if reason is None else str(reason)


def _attempt(attempt: Attempt) -> AttemptReply:
    made_here = {"reason": _reason(attempt.reason, attempt.reason_detail)}
    kept = {name: getattr(attempt, name) for name in AttemptReply.model_fields if name not in made_here}
    return AttemptReply(**kept, **made_here)


def _reason(kind: ReasonKind | None, detail: str) -> ReasonReply | None:
    return None if kind is None else ReasonReply(kind=kind, message=str(reason_text(kind, detail)), detail=detail)


def _common(run: Run) -> dict[str, object]:
    return {
        **{name: getattr(run, name) for name in RunSummary.model_fields if name not in _MADE_HERE},
        "model": run.model.name,
        "reason": _reason(run.reason, run.reason_detail),
        "is_stopping": run.stop_requested_at is not None and not run.state.is_final,
    }


_MADE_HERE = frozenset({"model", "reason", "is_stopping"})


def metric_reply(metric: MetricMeasured) -> MetricReply:
    return MetricReply.model_validate(metric)
