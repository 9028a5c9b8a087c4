"""Runs: start, list, look at, stop; and what a run produces while it trains."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Response
from fastapi.openapi.models import Example

from app.api.answers import AnswerReply, answer_lines, answer_reply, place_in
from app.api.checkpoints import checkpoint_replies
from app.api.errors import documented
from app.api.exchange import IfMatch, check_match
from app.api.once import once
from app.api.paging import Cursor, WantsLines, as_lines, cut, first_of, numbers_in
from app.api.run_lists import AskedRuns, all_runs, page_of_runs
from app.api.run_replies import (
    AnswerList,
    CheckpointList,
    MetricList,
    MetricReply,
    RunDetail,
    RunList,
    RunSummary,
    metric_reply,
    run_detail,
)
from app.api.types import LARGEST_ID, MOST_LISTED, Id, Limit
from app.domain import runs
from app.domain.answer_stream import stream_answers
from app.domain.answers import compare
from app.domain.errors import InvalidError
from app.domain.metric_stream import stream_metrics
from app.domain.presets import PRESETS
from app.domain.recipe_checks import check_recipe
from app.domain.recipes import Recipe
from app.domain.waiting import move_in_queue
from app.web.deps import ReadSession, WriteSession

router = APIRouter(prefix="/runs", tags=["runs"])

EXAMPLES = {
    preset.key: Example(summary=preset.title, value=preset.recipe.model_dump(mode="json")) for preset in PRESETS
}
PostedRecipe = Annotated[Recipe, Body(openapi_examples=EXAMPLES)]


@router.post("", status_code=201, summary="Start a run", responses=documented(404, 409))
@once
def create_run(
    recipe: PostedRecipe,
    session: WriteSession,
    response: Response,
    *,
    after: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Start when this run has ended.")] = None,
    cloned_from: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="The run that this one follows.")] = None,
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
    run = runs.create_run(session, recipe, cloned_from_id=cloned_from, after_run_id=after)
    response.headers["Location"] = f"/api/v1/runs/{run.id}"
    return run_detail(session, run)


@router.get("", summary="List runs", response_model=RunList, responses=documented(lines=RunSummary))
def list_runs(
    session: ReadSession,
    asked: Annotated[AskedRuns, Depends()],
    *,
    is_lines: WantsLines,
    cursor: Cursor = "",
    limit: Limit = 25,
) -> RunList | Response:
    """
    Return one page of runs, the newest first unless `sort` says otherwise; as lines, all of them.

    A filter that is left out filters nothing.
    """
    return as_lines(all_runs(asked)) if is_lines else page_of_runs(session, asked, cursor=cursor, limit=limit)


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


@router.post("/{run_id}/queue", summary="Move a run in the queue", responses=documented(404, 409, 412))
def move_run(
    run_id: Id,
    session: WriteSession,
    place: Annotated[int, Query(ge=1, le=LARGEST_ID, description="From 1; one beyond the end is the end.")],
    if_match: IfMatch = "",
) -> RunDetail:
    """Give a waiting run another place in the queue; with `If-Match`, only if the run is as `GET` showed it."""
    run = runs.locked_run(session, run_id)
    if if_match:
        check_match(if_match, run_detail(session, run))
    move_in_queue(session, run_id, place=place)
    return run_detail(session, run)


# ── What it produces ───────────────────────────────────────────────────────


@router.get(
    "/{run_id}/metrics",
    summary="Loss and learning rate by iteration",
    response_model=MetricList,
    responses=documented(404, lines=MetricReply),
)
def get_run_metrics(
    run_id: Id,
    session: ReadSession,
    *,
    is_lines: WantsLines,
    after: Annotated[int, Query(ge=0, le=LARGEST_ID, description="Only iterations after this one.")] = 0,
    cursor: Cursor = "",
    limit: Limit = MOST_LISTED,
) -> MetricList | Response:
    """Return what was measured at every iteration: a page of it; as lines, all."""
    runs.get_run(session, run_id)
    if is_lines:
        return as_lines(map(metric_reply, stream_metrics(run_id, after=after)))
    (start,) = numbers_in(cursor, "metrics", run_id, after, count=1) or (after,)
    found = stream_metrics(run_id, after=start)
    page, more = first_of(found, "metrics", run_id, after, limit=limit, place=lambda each: (each.iteration,))
    return MetricList(run_id=run_id, metrics=[metric_reply(metric) for metric in page], next_cursor=more)


@router.get("/{run_id}/checkpoints", summary="Checkpoints with their verdicts", responses=documented(404))
def get_run_checkpoints(
    run_id: Id, session: ReadSession, *, cursor: Cursor = "", limit: Limit = MOST_LISTED
) -> CheckpointList:
    """Return a run's checkpoints: files, scores, verdict, and what has been made of each."""
    run = runs.get_run(session, run_id)
    every = checkpoint_replies(run, compare(session, run_ids=[run_id]))
    page, more = cut(
        every, "checkpoints", run_id, cursor=cursor, limit=limit, place=lambda each: (each.iteration, each.id)
    )
    return CheckpointList(run_id=run_id, checkpoints=page, next_cursor=more)


@router.get(
    "/{run_id}/answers",
    summary="All answers of a run",
    response_model=AnswerList,
    responses=documented(404, lines=AnswerReply),
)
def get_run_answers(
    run_id: Id, session: ReadSession, *, is_lines: WantsLines, cursor: Cursor = "", limit: Limit = MOST_LISTED
) -> AnswerList | Response:
    """Return what every checkpoint said to every probe, with the scores: a page of it; as lines, all."""
    runs.get_run(session, run_id)
    if is_lines:
        return as_lines(answer_lines(run_id))
    rest = stream_answers(run_id, after=place_in(cursor, "answers", run_id))
    page, more = first_of(rest, "answers", run_id, limit=limit, place=lambda each: each.place)
    return AnswerList(run_id=run_id, answers=[answer_reply(each) for each in page], next_cursor=more)
