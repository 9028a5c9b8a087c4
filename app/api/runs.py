"""Runs: start, list, look at, stop; and what a run produces while it trains."""

from typing import Annotated

from fastapi import APIRouter, Body, Header, Query, Request, Response
from fastapi.openapi.models import Example
from fastapi.responses import PlainTextResponse

from app.api.checkpoints import checkpoint_replies
from app.api.compare import answer_replies
from app.api.errors import documented
from app.api.run_replies import (
    AnswerList,
    CheckpointList,
    MetricList,
    RunDetail,
    RunList,
    metric_reply,
    run_detail,
    run_summary,
)
from app.api.types import LARGEST_ID, Id, Limit, Offset
from app.domain import runs
from app.domain.answers import compare
from app.domain.downloads import open_rows
from app.domain.errors import InvalidError
from app.domain.events import metrics_of
from app.domain.logs import TAIL_LINES, tail_of_log
from app.domain.models import RunState
from app.domain.presets import PRESETS
from app.domain.recipe_checks import check_recipe
from app.domain.recipes import Recipe
from app.domain.waiting import move_in_queue
from app.web.cards import card_file
from app.web.deps import ReadSession, WriteSession
from app.web.downloads import send_file

router = APIRouter(prefix="/runs", tags=["runs"])

EXAMPLES = {
    preset.key: Example(summary=preset.title, value=preset.recipe.model_dump(mode="json")) for preset in PRESETS
}
PostedRecipe = Annotated[Recipe, Body(openapi_examples=EXAMPLES)]
RequestKey = Annotated[
    str | None, Header(min_length=1, max_length=200, description="Your own name of this request, such as a UUID.")
]
SORT_PATTERN = "^-?(created|name|loss|state)$"


@router.post("", status_code=201, summary="Start a run")
def create_run(
    recipe: PostedRecipe,
    session: WriteSession,
    response: Response,
    *,
    after: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Start when this run has ended.")] = None,
    cloned_from: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="The run that this one follows.")] = None,
    idempotency_key: RequestKey = None,
) -> RunDetail:
    """
    Store a run and hand it to the workers.

    Every setting left out has the default that the schema shows. The same request again with the
    same `Idempotency-Key` makes no second run: it is answered with the first one.
    """
    problems = list(check_recipe(recipe))
    if problems:
        raise InvalidError(problems)
    if cloned_from is not None:
        runs.get_run(session, cloned_from)
    run = runs.create_run(session, recipe, cloned_from_id=cloned_from, after_run_id=after, request_key=idempotency_key)
    response.headers["Location"] = f"/api/v1/runs/{run.id}"
    return run_detail(session, run)


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
        runs=[run_summary(run) for run in page.runs],
        total=page.total,
        by_state=page.by_state,
        offset=offset,
        limit=limit,
    )


@router.get("/{run_id}", summary="Look at a run", responses=documented(404))
def get_run(run_id: Id, session: ReadSession) -> RunDetail:
    """Return a run with its recipe."""
    return run_detail(session, runs.get_run(session, run_id))


@router.post("/{run_id}/stop", summary="Stop a run", responses=documented(404, 409))
def stop_run(
    run_id: Id,
    session: WriteSession,
    *,
    keep: Annotated[bool, Query(description="Save a checkpoint and answer it first.")] = False,
) -> RunDetail:
    """Stop a run: at once while it waits, within seconds while it trains. Asking twice is the same as once."""
    return run_detail(session, runs.request_stop(session, run_id, keep=keep))


@router.post("/{run_id}/resume", summary="Resume a run", responses=documented(404, 409))
def resume_run(run_id: Id, session: WriteSession) -> RunDetail:
    """Let a run that failed or was stopped go on from its newest whole checkpoint."""
    return run_detail(session, runs.resume_run(session, run_id))


@router.post("/{run_id}/queue", summary="Move a run in the queue", responses=documented(404, 409))
def move_run(
    run_id: Id,
    session: WriteSession,
    place: Annotated[int, Query(ge=1, le=LARGEST_ID, description="From 1; one beyond the end is the end.")],
) -> RunDetail:
    """Give a waiting run another place in the queue."""
    run = runs.get_run(session, run_id)
    move_in_queue(session, run_id, place=place)
    return run_detail(session, run)


@router.get("/{run_id}/metrics", summary="Loss and learning rate by iteration", responses=documented(404))
def get_run_metrics(
    run_id: Id,
    session: ReadSession,
    after: Annotated[int, Query(ge=0, le=LARGEST_ID, description="Only iterations after this one.")] = 0,
) -> MetricList:
    """Return what was measured at every iteration."""
    runs.get_run(session, run_id)
    metrics = [metric_reply(metric) for metric in metrics_of(session, run_id) if metric.iteration > after]
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
    "/{run_id}/mix",
    summary="The rows a run is trained on",
    response_class=Response,
    responses=documented(404, 409, files=("application/octet-stream",)),
)
def get_run_mix(run_id: Id, session: ReadSession) -> Response:
    """Send the rows as JSON Lines in xtuner's own form: the very file, for ever; its `ETag` is its SHA-256."""
    return send_file(open_rows(session, run_id))


@router.get(
    "/{run_id}/card",
    summary="The recipe card of a run",
    response_class=Response,
    responses=documented(404, files=("text/html",)),
)
def get_run_card(request: Request, run_id: Id, session: ReadSession) -> Response:
    """Return one HTML file that holds all of a run and starts it again; in Chinese for `Accept-Language: zh`."""
    return card_file(request, session, run_id)


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
