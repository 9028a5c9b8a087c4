"""Sweeps over the API: start, forecast, list, look at, change how many at once, stop."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.errors import documented
from app.api.exchange import IfMatch, check_match
from app.api.once import once
from app.api.paging import Cursor, cursor_at, mark_in
from app.api.sweep_replies import (
    SweepDetail,
    SweepForecastReply,
    SweepList,
    SweepSummary,
    forecast_reply,
    sweep_detail,
    sweep_summary,
)
from app.api.types import LARGEST_ID, Id, Limit
from app.domain import sweep_forecasts, sweeps
from app.domain.errors import InvalidError
from app.domain.paging import Mark
from app.domain.sweep_plans import MOST_RUNS, SweepPlan, checked_plan
from app.web.deps import ReadSession, WriteSession
from app.web.workers import device_of_workers, live_workers

router = APIRouter(prefix="/sweeps", tags=["sweeps"])


class SweepChange(BaseModel):
    """What of a sweep can be changed after its start."""

    model_config = ConfigDict(extra="forbid")
    at_once: Annotated[int, Field(ge=1, le=MOST_RUNS)]


@router.post("", status_code=201, summary="Start a sweep", responses=documented(404, 409))
@once
def create_sweep(
    plan: SweepPlan,
    session: WriteSession,
    response: Response,
    *,
    cloned_from: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="The run whose recipe it is.")] = None,
) -> SweepDetail:
    """
    Store a sweep with all of its runs and hand them to the workers.

    What is wrong is named at its value: `axes.0.values.2`.
    """
    sweep = sweeps.create_sweep(session, plan, cloned_from_id=cloned_from)
    response.headers["Location"] = f"/api/v1/sweeps/{sweep.id}"
    return sweep_detail(session, sweep)


@router.post("/forecast", summary="Say what a sweep will do")
def forecast_sweep(plan: SweepPlan, session: ReadSession) -> SweepForecastReply:
    """Plan the runs of a sweep and say how long they take together; nothing is stored."""
    plan, problems = checked_plan(plan)
    if problems:
        raise InvalidError(problems)
    devices = sum(worker.slots for worker in live_workers())
    known = sweep_forecasts.forecast_sweep(session, plan, device=device_of_workers(), devices=devices)
    return forecast_reply(known)


@router.get("", summary="List sweeps")
def list_sweeps(session: ReadSession, *, cursor: Cursor = "", limit: Limit = 25) -> SweepList:
    """Return one page of sweeps, the newest first."""
    after = mark_in(cursor, "sweeps")
    found = sweeps.list_sweeps(session, before_id=after.id if after else None, limit=limit + 1)
    shown = [SweepSummary(**sweep_summary(sweep, progress)) for sweep, progress in found.sweeps[:limit]]
    more = cursor_at(Mark(None, shown[-1].id), "sweeps") if len(found.sweeps) > limit else None
    return SweepList(sweeps=shown, total=found.total, next_cursor=more)


@router.get("/{sweep_id}", summary="Look at a sweep", responses=documented(404))
def get_sweep(sweep_id: Id, session: ReadSession) -> SweepDetail:
    """Return a sweep: its runs with their values, the verdict of every checkpoint, and what to keep."""
    return sweep_detail(session, sweeps.get_sweep(session, sweep_id))


@router.post("/{sweep_id}/stop", summary="Stop a sweep", responses=documented(404, 409))
def stop_sweep(sweep_id: Id, session: WriteSession) -> SweepDetail:
    """Stop every run of a sweep that waits or trains; what is saved stays."""
    return sweep_detail(session, sweeps.stop_sweep(session, sweep_id))


@router.patch("/{sweep_id}", summary="Change how many of its runs train at once", responses=documented(404, 412))
def change_sweep(sweep_id: Id, session: WriteSession, wanted: SweepChange, if_match: IfMatch = "") -> SweepDetail:
    """Let more or fewer runs of a sweep train at the same time; what trains already goes on."""
    if if_match:
        check_match(if_match, sweep_detail(session, sweeps.locked_sweep(session, sweep_id)))
    return sweep_detail(session, sweeps.change_at_once(session, sweep_id, at_once=wanted.at_once))
