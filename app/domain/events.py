"""
A run's ledger: what its trainer wrote, stored once and in order.

Lines and the offset up to which they were read are stored in one transaction, so that nothing
is lost or doubled when the supervisor dies between two reads.
"""

import logging
from collections.abc import Iterable, Sequence
from functools import singledispatch

from pydantic import ValidationError
from sqlmodel import Session, col, delete, select

from app.domain.models import Answer, Attempt, Checkpoint, Event, Run, RunProbe, utc_now
from app.domain.runs import id_of, storable
from app.domain.trainer_events import (
    AnswersGiven,
    AnyTrainerEvent,
    CheckpointRetired,
    CheckpointSaved,
    MetricMeasured,
    PhaseBegan,
    PlanMade,
    TrainerEnded,
    trainer_event_adapter,
)

log = logging.getLogger(__name__)

FIRST_WORDS = 200  # characters of an answer that a list of runs shows
RATE_WEIGHT = 0.2  # of the newest iteration in the moving average; ten iterations dominate it


def ingest(session: Session, run: Run, attempt: Attempt, lines: bytes) -> TrainerEnded | None:
    """
    Store whole lines of a trainer's events and move the attempt's offset past them.

    A line that is not an event is skipped and logged: a trainer must not be able to stop its
    own supervisor.

    Returns:
        The trainer's own account of its end, once it has written one.
    """
    end = None
    for event in _parse(lines):
        _project(event, session, run)
        session.add(_ledger_line(event, run))
        if isinstance(event, TrainerEnded):
            end = event
    attempt.event_offset += len(lines)
    session.add(attempt)
    session.add(run)
    return end


def whole_lines(data: bytes) -> bytes:
    """Return `data` up to its last line end: the rest of a line is still being written."""
    return data[: data.rfind(b"\n") + 1]


def events_after(session: Session, run_id: int, event_id: int, *, limit: int = 1_000) -> Sequence[Event]:
    """Return a run's ledger after one event, oldest first."""
    statement = select(Event).where(Event.run_id == run_id, col(Event.id) > event_id).order_by(col(Event.id))
    return session.exec(statement.limit(limit)).all()


def last_event_id(session: Session, run_id: int) -> int:
    """Return the id of a run's newest event, 0 when there is none: where a page starts to listen."""
    return session.exec(select(Event.id).where(Event.run_id == run_id).order_by(col(Event.id).desc())).first() or 0


def metrics_of(session: Session, run_id: int) -> list[MetricMeasured]:
    """Return a run's metrics by iteration, each once: a resumed attempt's line takes the place of the old one."""
    statement = select(Event.data).where(Event.run_id == run_id, Event.kind == "metric").order_by(col(Event.id))
    by_iteration = {data["iteration"]: data for data in session.exec(statement)}
    return [MetricMeasured.model_validate(by_iteration[iteration]) for iteration in sorted(by_iteration)]


def _parse(lines: bytes) -> Iterable[AnyTrainerEvent]:
    for line in lines.splitlines():
        try:
            yield trainer_event_adapter.validate_json(line)
        except ValidationError:
            log.warning("a trainer wrote a line that is no event: %.200r", line)


def _ledger_line(event: AnyTrainerEvent, run: Run) -> Event:
    return Event(
        run_id=id_of(run),
        attempt=run.attempt,
        kind=event.kind,
        iteration=getattr(event, "iteration", 0),
        data=event.model_dump(mode="json", exclude={"kind", "answers"}),  # answers are rows of their own
    )


@singledispatch
def _project(event: AnyTrainerEvent, session: Session, run: Run) -> None:
    """Carry an event into the rows that pages read."""


@_project.register
def _(event: PhaseBegan, session: Session, run: Run) -> None:  # noqa: ARG001
    run.phase = event.phase


@_project.register
def _(event: PlanMade, session: Session, run: Run) -> None:  # noqa: ARG001
    run.iterations = event.iterations


@_project.register
def _(event: MetricMeasured, session: Session, run: Run) -> None:  # noqa: ARG001
    run.iteration, run.loss = event.iteration, event.loss
    run.updates = event.iteration // run.recipe["training"]["accumulation"]
    before = run.seconds_per_iteration
    run.seconds_per_iteration = (
        event.seconds if before is None else (1 - RATE_WEIGHT) * before + RATE_WEIGHT * event.seconds
    )


@_project.register
def _(event: CheckpointSaved, session: Session, run: Run) -> None:
    checkpoint = _checkpoint_at(session, run, event.iteration)
    checkpoint.updates, checkpoint.size_bytes = event.updates, event.size_bytes
    checkpoint.file, checkpoint.adapter = event.file, event.adapter or ""
    checkpoint.deleted_at = None
    session.add(checkpoint)


@_project.register
def _(event: CheckpointRetired, session: Session, run: Run) -> None:
    checkpoint = _checkpoint_at(session, run, event.iteration)
    checkpoint.deleted_at = utc_now()
    session.add(checkpoint)


@_project.register
def _(event: AnswersGiven, session: Session, run: Run) -> None:
    checkpoint = _checkpoint_at(session, run, event.iteration)
    checkpoint.answered_seconds, checkpoint.dtype, checkpoint.quantised = event.seconds, event.dtype, event.quantised
    session.exec(delete(Answer).where(col(Answer.checkpoint_id) == checkpoint.id))
    probes = {probe.position: id_of(probe) for probe in session.exec(select(RunProbe).where(RunProbe.run_id == run.id))}
    for answer in event.answers:
        if answer.probe not in probes:
            log.warning("run %s has no probe %s to answer", run.id, answer.probe)
            continue
        session.add(
            Answer(
                checkpoint_id=id_of(checkpoint),
                probe_id=probes[answer.probe],
                text=storable(answer.text),
                tokens=answer.tokens,
                ended=answer.ended,
            )
        )
    if event.answers:
        run.newest_answer = storable(event.answers[0].text)[:FIRST_WORDS]


def _checkpoint_at(session: Session, run: Run, iteration: int) -> Checkpoint:
    statement = select(Checkpoint).where(Checkpoint.run_id == run.id, Checkpoint.iteration == iteration)
    found = session.exec(statement).first()
    if found is None:
        found = Checkpoint(run_id=id_of(run), iteration=iteration)
        session.add(found)
        session.flush()  # answers need the checkpoint's id
    return found
