"""From a trainer's file of events into the database, each line once."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from sqlmodel import Session

from app.config import settings
from app.domain import db, presence
from app.domain.attempts import renew_claim
from app.domain.beneath import read_beneath
from app.domain.events import ingest, parse, whole_lines
from app.domain.models import Attempt, Run, RunState
from app.domain.retention import apply_retention, remove_strays
from app.domain.runs import get_run, locked_run, record_state
from app.domain.stopping import stop_where_told
from app.domain.trainer_events import (
    AnswersGiven,
    AnyTrainerEvent,
    CheckpointSaved,
    MetricMeasured,
    PhaseBegan,
    TrainerEnded,
)
from worker.preparing import AttemptFolder
from worker.stalls import Pace

log = logging.getLogger(__name__)

MOST_BYTES = 4 << 20  # of events stored at once; a line that is longer is none


@dataclass(frozen=True)
class Wanted:
    """What is wanted of an attempt, as the database says."""

    is_ours: bool
    stop: bool = False
    keep: bool = False
    """The stop is to save and answer a checkpoint first."""
    was_renewed: bool = False


@dataclass
class Recording:
    """The reading end of one attempt's events."""

    attempt: AttemptFolder
    pace: Pace = field(default_factory=Pace)
    end: TrainerEnded | None = None
    """The trainer's own account of its end, once it has written one."""
    is_drained: bool = False
    """The last look found nothing more."""
    saved: int = 0
    """Iteration of the newest checkpoint that this attempt's trainer has told of."""

    def store(self, *, renew: bool) -> Wanted:
        """Store new events, renew the claim when told to, and say what is wanted."""
        with db.reading() as session:
            offset = session.get_one(Attempt, self.attempt.id).event_offset
            wanted = _wanted(session, self.attempt)
        lines = read_lines(self.attempt.events, offset, root=settings().runs_folder)
        self.is_drained = not lines
        if not wanted.is_ours or not (lines or renew):
            return wanted
        events = list(parse(lines))
        with db.unit_of_work() as session:
            if not renew_claim(session, self.attempt.run_id, attempt=self.attempt.number):
                return Wanted(is_ours=False)
            _store(session, self.attempt, events, len(lines))
        self._note(events)
        if any(isinstance(event, CheckpointSaved) for event in events):
            settle_files(self.attempt.run_id, told=self.saved)
        if lines:
            presence.wake_watchers(self.attempt.run_id)
        return Wanted(is_ours=True, stop=wanted.stop, keep=wanted.keep, was_renewed=True)

    def _note(self, events: list[AnyTrainerEvent]) -> None:
        for event in events:
            self.pace.hear()
            if isinstance(event, MetricMeasured):
                self.pace.step(event.seconds)
            elif isinstance(event, AnswersGiven):
                self.pace.longest_answering = max(self.pace.longest_answering, event.seconds)
            elif isinstance(event, CheckpointSaved):
                self.saved = event.iteration
            elif isinstance(event, PhaseBegan):
                self.pace.phase = event.phase
            elif isinstance(event, TrainerEnded):
                self.end = event

    def mark_stalled(self) -> None:
        """Let the run's page say that nothing comes any more; the next event takes it back."""
        with db.unit_of_work() as session:
            run = locked_run(session, self.attempt.run_id)
            if run.state is RunState.RUNNING and run.attempt == self.attempt.number:
                run.phase = "stalled"
                session.add(run)
                record_state(session, run)
        presence.wake_watchers(self.attempt.run_id)


def wanted_of(attempt: AttemptFolder) -> Wanted:
    """Ask the database what is wanted of an attempt."""
    with db.reading() as session:
        return _wanted(session, attempt)


def _wanted(session: Session, attempt: AttemptFolder) -> Wanted:
    run = session.get_one(Run, attempt.run_id)
    is_ours = run.state is RunState.RUNNING and run.attempt == attempt.number
    return Wanted(is_ours, stop=run.stop_requested_at is not None, keep=run.stop_keeps)


def _store(session: Session, attempt: AttemptFolder, events: list[AnyTrainerEvent], size: int) -> None:
    run, row = get_run(session, attempt.run_id), session.get_one(Attempt, attempt.id)
    ingest(session, run, row, events, size=size)
    stop_where_told(session, run, answered=[each.iteration for each in events if isinstance(each, AnswersGiven)])


def read_lines(events: Path, offset: int, *, root: Path | None = None) -> bytes:
    """
    Read the whole lines after an offset; of a line without an end in reach, what there is of it.

    Args:
        root: a folder above the file beneath which no link is followed; its own folder where none is given.
    """
    try:
        with read_beneath(root or events.parent, events) as file:
            file.seek(offset)
            data = file.read(MOST_BYTES)
    except FileNotFoundError:  # the run's folder is gone; the trainer will not fare well either
        return b""
    lines = whole_lines(data)
    return lines if lines or len(data) < MOST_BYTES else data


def settle_files(run_id: int, *, told: int) -> None:
    """
    Let retention have its way with a run's checkpoints, and delete the files that no row names.

    Args:
        told: iteration of the newest checkpoint that the live attempt has told of; a file beyond it
            may be one that its trainer is about to tell of, and is left alone.
    """
    with db.unit_of_work() as session:
        apply_retention(session, locked_run(session, run_id))
    with db.reading() as session:
        remove_strays(session, run_id, newest=told)


def settle_ended(run_id: int) -> None:
    """Settle the files of a run that has ended; those of one that was resumed are its supervisor's to settle."""
    with db.unit_of_work() as session:
        run = locked_run(session, run_id)
        if run.state.is_final:
            apply_retention(session, run)
    with db.unit_of_work() as session:
        run = locked_run(session, run_id)  # nor is it resumed while files go
        if run.state.is_final:
            newest = max((each.iteration for each in run.checkpoints), default=0)
            remove_strays(session, run_id, newest=newest)


def store_leftovers(attempt: AttemptFolder, earlier: AttemptFolder) -> None:
    """Store what an earlier attempt's trainer wrote and its supervisor did not live to store."""
    while True:
        with db.unit_of_work() as session:
            row = session.get_one(Attempt, earlier.id)
            lines = read_lines(earlier.events, row.event_offset, root=settings().runs_folder)
            if not lines or not renew_claim(session, attempt.run_id, attempt=attempt.number):
                return
            _store(session, earlier, list(parse(lines)), len(lines))
