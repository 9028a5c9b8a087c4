"""
A run's ledger: what its trainer wrote, stored once and in order.

Lines and the offset up to which they were read are stored in one transaction, so that nothing
is lost or doubled when the supervisor dies between two reads.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import singledispatch
from typing import Any

from pydantic import ValidationError
from sqlmodel import Session, col, select

from app.domain.given_answers import replace_answers
from app.domain.models import Answer, Attempt, Checkpoint, Event, Run, RunProbe
from app.domain.retention import forget_files
from app.domain.runs import id_of
from app.domain.stored_scores import renew_scores
from app.domain.trainer_events import (
    AnswersGiven,
    AnyTrainerEvent,
    CheckpointSaved,
    MetricMeasured,
    PhaseBegan,
    PlanMade,
    TrainingResumed,
    trainer_event_adapter,
)

log = logging.getLogger(__name__)

FIRST_WORDS = 200  # characters of an answer that a list of runs shows
RATE_WEIGHT = 0.2  # of the newest iteration in the moving average; ten iterations dominate it


def ingest(session: Session, run: Run, attempt: Attempt, events: Iterable[AnyTrainerEvent], *, size: int) -> None:
    """
    Store a trainer's events and move the attempt's offset past them.

    Args:
        size: Bytes that they took in the file, lines that were no events included.
    """
    for event in events:
        _project(event, session, run)
        session.add(_ledger_line(event, run, attempt))
        if isinstance(event, TrainingResumed):
            attempt.resumed_from = event.iteration
    attempt.event_offset += size
    session.add(attempt)
    session.add(run)


def parse(lines: bytes) -> Iterator[AnyTrainerEvent]:
    """
    Read events; a line that is none is skipped and logged.

    A trainer must not be able to stop its own supervisor.
    """
    for line in lines.splitlines():
        try:
            yield trainer_event_adapter.validate_json(line)
        except ValidationError:
            log.warning("a trainer wrote a line that is no event: %.200r", line)


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
    """Return a run's metrics by iteration, each once: where a run was resumed, what came after is forgotten."""
    kinds = col(Event.kind).in_(["metric", "resumed"])
    statement = select(Event.kind, Event.data).where(Event.run_id == run_id, kinds).order_by(col(Event.id))
    by_iteration: dict[int, Mapping[str, Any]] = {}
    for kind, data in session.exec(statement):
        if kind == "metric":
            by_iteration[data["iteration"]] = data
        else:
            by_iteration = {at: value for at, value in by_iteration.items() if at <= data["iteration"]}
    return [MetricMeasured.model_validate(by_iteration[iteration]) for iteration in sorted(by_iteration)]


def _ledger_line(event: AnyTrainerEvent, run: Run, attempt: Attempt) -> Event:
    return Event(
        run_id=id_of(run),
        attempt=attempt.number,
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
    run.iteration, run.loss, run.phase = event.iteration, event.loss, "training"  # also after it was called stalled
    run.updates = _updates(run)
    before = run.seconds_per_iteration
    run.seconds_per_iteration = (
        event.seconds if before is None else (1 - RATE_WEIGHT) * before + RATE_WEIGHT * event.seconds
    )


@_project.register
def _(event: TrainingResumed, session: Session, run: Run) -> None:
    run.iteration = event.iteration
    run.updates = _updates(run)
    for damaged in event.damaged:
        log.warning("run %s: checkpoint %s is damaged: %s", run.id, damaged.iteration, damaged.problem)
        checkpoint = _checkpoint_at(session, run, damaged.iteration)
        forget_files(checkpoint)
        session.add(checkpoint)


@_project.register
def _(event: CheckpointSaved, session: Session, run: Run) -> None:
    checkpoint = _checkpoint_at(session, run, event.iteration)
    if not checkpoint.file:
        run.restarts = 0  # it has come further than before
    checkpoint.updates, checkpoint.size_bytes = event.updates, event.size_bytes
    checkpoint.file, checkpoint.adapter = event.file, event.adapter or ""
    checkpoint.state_file, checkpoint.sha256, checkpoint.deleted_at = event.state_file, event.sha256, None
    session.add(checkpoint)


@_project.register
def _(event: AnswersGiven, session: Session, run: Run) -> None:
    checkpoint = _checkpoint_at(session, run, event.iteration)
    checkpoint.answered_seconds, checkpoint.dtype, checkpoint.quantised = event.seconds, event.dtype, event.quantised
    checkpoint.identity_nll, checkpoint.general_nll = event.identity_nll, event.general_nll
    probes = {probe.position: id_of(probe) for probe in session.exec(select(RunProbe).where(RunProbe.run_id == run.id))}
    given = {answer.probe: answer for answer in event.answers}  # of two to one probe the last: there is room for one
    for probe in given.keys() - probes.keys():
        log.warning("run %s has no probe %s to answer", run.id, probe)
    replace_answers(
        session,
        id_of(checkpoint),
        [
            Answer(
                checkpoint_id=id_of(checkpoint),
                probe_id=probes[answer.probe],
                text=answer.text,
                tokens=answer.tokens,
                ended=answer.ended,
            )
            for answer in given.values()
            if answer.probe in probes
        ],
    )
    renew_scores(session, run, checkpoint)
    if event.answers:
        run.newest_answer = event.answers[0].text[:FIRST_WORDS]


def _updates(run: Run) -> int:
    """Count the optimizer steps so far; the last one may take fewer iterations."""
    every: int = run.recipe["training"]["accumulation"]
    return -(-run.iteration // every) if run.iteration == run.iterations else run.iteration // every


def _checkpoint_at(session: Session, run: Run, iteration: int) -> Checkpoint:
    statement = select(Checkpoint).where(Checkpoint.run_id == run.id, Checkpoint.iteration == iteration)
    found = session.exec(statement).first()
    if found is None:
        found = Checkpoint(run_id=id_of(run), iteration=iteration)
        session.add(found)
        session.flush()  # answers need the checkpoint's id
    return found
