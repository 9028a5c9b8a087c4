"""Runs: start, list, look at, stop; and what a run produces while it trains."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Query, Response
from fastapi.openapi.models import Example
from fastapi.responses import PlainTextResponse

from app.api.checkpoints import CheckpointReply, checkpoint_replies
from app.api.compare import AnswerReply, answer_replies
from app.api.errors import documented
from app.api.types import LARGEST_ID, Id, Limit, Offset, Reply
from app.domain import runs
from app.domain.answers import compare
from app.domain.errors import InvalidError
from app.domain.events import metrics_of
from app.domain.logs import TAIL_LINES, tail_of_log
from app.domain.models import ReasonKind, Run, RunState
from app.domain.presets import PRESETS
from app.domain.reasons import reason_text
from app.domain.recipe_checks import check_recipe
from app.domain.recipes import Recipe
from app.domain.trainer_events import MetricMeasured
from app.web.deps import ReadSession, WriteSession

router = APIRouter(prefix="/runs", tags=["runs"])

EXAMPLES = {
    preset.key: Example(summary=preset.title, value=preset.recipe.model_dump(mode="json")) for preset in PRESETS
}
PostedRecipe = Annotated[Recipe, Body(openapi_examples=EXAMPLES)]
SORT_PATTERN = "^-?(created|name|loss|state)$"


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
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class RunDetail(RunSummary):
    """A run with everything it is made of."""

    recipe: Recipe
    mix_sha256: str
    """Of the rows that are trained on; empty until the run starts."""
    attempt: int
    worker: str
    log_tail: str
    """The trainer's last lines, of a failed run."""


class RunList(Reply):
    """One page of runs."""

    runs: list[RunSummary]
    total: int
    """How many there are in all that fit."""
    by_state: dict[RunState, int]
    offset: int
    limit: int


class MetricReply(Reply):
    """What was measured at one iteration."""

    iteration: int
    loss: float | None
    """Null where it was not a finite number."""
    learning_rate: float
    grad_norm: float | None
    seconds: float
    memory_bytes: int


class MetricList(Reply):
    """A run's metrics, by iteration."""

    run_id: int
    metrics: list[MetricReply]


class CheckpointList(Reply):
    """A run's checkpoints by iteration, the base model first."""

    run_id: int
    checkpoints: list[CheckpointReply]


class AnswerList(Reply):
    """Every answer of a run: by checkpoint, then by probe."""

    run_id: int
    answers: list[AnswerReply]


@router.post("", status_code=201, summary="Start a run")
def create_run(recipe: PostedRecipe, session: WriteSession, response: Response) -> RunDetail:
    """Store a run and hand it to the workers. Every setting left out has the default that the schema shows."""
    problems = list(check_recipe(recipe))
    if problems:
        raise InvalidError(problems)
    run = runs.create_run(session, recipe)
    response.headers["Location"] = f"/api/v1/runs/{run.id}"
    return _detail(run)


@router.get("", summary="List runs")
def list_runs(
    session: ReadSession,
    *,
    q: Annotated[str, Query(max_length=200, description="Words in the name, the model or an answer.")] = "",
    state: RunState | None = None,
    sort: Annotated[str, Query(pattern=SORT_PATTERN, description="`-` before it: falling.")] = "-created",
    offset: Offset = 0,
    limit: Limit = 25,
) -> RunList:
    """Return one page of runs, the newest first unless `sort` says otherwise."""
    page = runs.list_runs(session, query=q, state=state, sort=sort, offset=offset, limit=limit)
    return RunList(
        runs=[_summary(run) for run in page.runs],
        total=page.total,
        by_state=page.by_state,
        offset=offset,
        limit=limit,
    )


@router.get("/{run_id}", summary="Look at a run", responses=documented(404))
def get_run(run_id: Id, session: ReadSession) -> RunDetail:
    """Return a run with its recipe."""
    return _detail(runs.get_run(session, run_id))


@router.post("/{run_id}/stop", summary="Stop a run", responses=documented(404, 409))
def stop_run(run_id: Id, session: WriteSession) -> RunDetail:
    """Stop a run: at once while it waits, within seconds while it trains. Asking twice is the same as once."""
    return _detail(runs.request_stop(session, run_id))


@router.get("/{run_id}/metrics", summary="Loss and learning rate by iteration", responses=documented(404))
def get_run_metrics(
    run_id: Id,
    session: ReadSession,
    after: Annotated[int, Query(ge=0, le=LARGEST_ID, description="Only iterations after this one.")] = 0,
) -> MetricList:
    """Return what was measured at every iteration."""
    runs.get_run(session, run_id)
    metrics = [_metric(metric) for metric in metrics_of(session, run_id) if metric.iteration > after]
    return MetricList(run_id=run_id, metrics=metrics)


@router.get("/{run_id}/checkpoints", summary="Checkpoints with their verdicts", responses=documented(404))
def get_run_checkpoints(run_id: Id, session: ReadSession) -> CheckpointList:
    """Return a run's checkpoints: files, scores, verdict, and what has been made of each."""
    run = runs.get_run(session, run_id)
    matrix = compare(session, run_ids=[run_id])
    return CheckpointList(run_id=run_id, checkpoints=checkpoint_replies(run, matrix))


@router.get("/{run_id}/answers", summary="All answers of a run", responses=documented(404))
def get_run_answers(run_id: Id, session: ReadSession) -> AnswerList:
    """Return what every checkpoint said to every probe, with the scores."""
    return AnswerList(run_id=run_id, answers=answer_replies(compare(session, run_ids=[run_id]), run_id))


@router.get(
    "/{run_id}/log",
    summary="The end of the trainer's log",
    response_class=PlainTextResponse,
    responses=documented(404),
)
def get_run_log(
    run_id: Id, session: ReadSession, lines: Annotated[int, Query(ge=1, le=1_000)] = TAIL_LINES
) -> PlainTextResponse:
    """Return the log's last lines as text, of the live or last attempt; empty before there is one."""
    return PlainTextResponse("\n".join(tail_of_log(runs.get_run(session, run_id), lines=lines)))


def _summary(run: Run) -> RunSummary:
    return RunSummary(**_common(run))


def _detail(run: Run) -> RunDetail:
    return RunDetail(
        **_common(run),
        recipe=runs.recipe_of(run),
        mix_sha256=run.mix_sha256,
        attempt=run.attempt,
        worker=run.worker,
        log_tail=run.log_tail,
    )


def _common(run: Run) -> dict[str, object]:
    reason = None
    if run.reason is not None:
        text = str(reason_text(run.reason, run.reason_detail))
        reason = ReasonReply(kind=run.reason, message=text, detail=run.reason_detail)
    return {
        **{name: getattr(run, name) for name in RunSummary.model_fields if name not in _MADE_HERE},
        "model": run.model.name,
        "reason": reason,
        "is_stopping": run.stop_requested_at is not None and not run.state.is_final,
    }


_MADE_HERE = frozenset({"model", "reason", "is_stopping"})


def _metric(metric: MetricMeasured) -> MetricReply:
    return MetricReply.model_validate(metric)
