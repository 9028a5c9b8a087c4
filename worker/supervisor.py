"""
One run from its claim to its end: start a trainer, store what it writes, stop it, say how it ended.

The supervisor runs in a Celery process. It holds the device's lock and the run's claim while the
trainer lives; the trainer dies with it. A database that does not answer for a while ends nothing,
as long as the claim has not run out: what the trainer writes waits in its file.
"""

import logging
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from app.config import settings
from app.domain import db, presence
from app.domain.attempts import Ending, claim_next, earlier_attempts, end_attempt
from app.domain.models import ReasonKind, RunState
from app.domain.queue import enqueue
from app.domain.retention import remove_parts
from app.domain.waiting import startable_run_ids
from worker import asker, processes
from worker.children import Child, forget_private, shorten_log, tail_of
from worker.endings import judge_end, oom_kills
from worker.gpus import Device, lend_device
from worker.leases import Renewal
from worker.leaving import is_leaving
from worker.preparing import AttemptFolder, NotStartedError, make_way, prepare, start_trainer
from worker.recording import Recording, settle_files, store_leftovers, wanted_of

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25  # a page shows a point this much after the trainer wrote it, at most
LOG_SECONDS = 5.0  # between two looks at how long the log has grown
RETRY_SECONDS = 1.0  # between two tries to store an end

SAVE_AND_LEAVE = signal.SIGUSR1
SAVE_ANSWER_AND_LEAVE = signal.SIGUSR2


def train_waiting(*, worker: str) -> None:
    """Train the runs that wait, one after the other, while a device is free."""
    while not is_leaving():
        with lend_device() as device:
            if device is None:
                log.info("every device is taken")
                return
            asker.ask_next(device)  # one between two runs: neither has to wait for all of the other
            if is_leaving():
                break
            attempt = _claim(worker, device)
            if attempt is None:
                return
            _train(attempt, device)
    with db.unit_of_work() as session:  # another worker may take what this one leaves
        for run_id in startable_run_ids(session)[:1]:
            enqueue("runs.train", run_id=run_id)


def _claim(worker: str, device: Device) -> AttemptFolder | None:
    with db.unit_of_work() as session:
        attempt = claim_next(session, worker=worker, supervisor=processes.own_name(), device=device.hardware)
        if attempt is None:
            return None
        claimed = AttemptFolder(attempt.run_id, attempt.id or 0, attempt.number)
        with suppress(NotStartedError):  # tried again, and told, once the run is claimed for good
            make_way(claimed)  # before that: after a crash the next attempt looks for what the first one left
        return claimed


def _train(attempt: AttemptFolder, device: Device) -> None:
    try:
        trainer = _start(attempt, device)
    except NotStartedError as error:
        _finish(attempt, error.ending)
        return
    watching = Watching(attempt, trainer)
    ending = watching.until_the_end()
    if ending is not None:
        _finish(attempt, ending, saved=watching.recording.saved)


def _start(attempt: AttemptFolder, device: Device) -> Child:
    make_way(attempt)
    _store_leftovers(attempt)
    if wanted_of(attempt).stop:  # what was left may say that the run has come far enough
        raise NotStartedError(Ending(RunState.CANCELLED))
    prepare(attempt, device)
    return start_trainer(attempt, device)


def _store_leftovers(attempt: AttemptFolder) -> None:
    with db.reading() as session:
        earlier = [
            AttemptFolder(row.run_id, row.id or 0, row.number)
            for row in earlier_attempts(session, attempt.run_id, before=attempt.number)
        ]
    for each in earlier:
        store_leftovers(attempt, each)


@dataclass
class Watching:
    """A trainer's life under its supervisor."""

    attempt: AttemptFolder
    trainer: Child
    renewal: Renewal = field(default_factory=Renewal)
    asked_at: dict[signal.Signals, float] = field(default_factory=dict)
    """When it was told to leave, by this process's clock: first perhaps with time for answers, then in a hurry."""
    stalled: bool = False

    def __post_init__(self) -> None:
        """Begin to record."""
        self.recording = Recording(self.attempt)
        self.oom_kills = oom_kills()
        self.log_looked_at = time.monotonic()

    def until_the_end(self) -> Ending | None:
        """Store the trainer's events until it ends or must be ended; None when the run is no longer this attempt's."""
        try:
            while True:
                has_ended = self.trainer.exit_code() is not None  # asked before the last read: nothing is left behind
                verdict = self._tick()
                if verdict is not None:
                    return self._ended_by_us(verdict)
                if has_ended and self.recording.is_drained:
                    return self._ended_by_itself()
                time.sleep(TICK_SECONDS)
        except _ClaimLostError:
            log.warning("run %s is no longer attempt %s's", self.attempt.run_id, self.attempt.number)
            return None
        finally:
            self.trainer.end()

    def _tick(self) -> Ending | None:
        """Store what is new; return how to end the trainer when it must be ended."""
        asked_at = time.monotonic()
        try:
            wanted = self.recording.store(renew=self.renewal.is_due())
        except SQLAlchemyError as error:
            log.warning("the database does not answer, run %s goes on: %s", self.attempt.run_id, error)
            if self.renewal.is_lost:
                raise _ClaimLostError from error
            return None
        if not wanted.is_ours:
            raise _ClaimLostError
        if wanted.was_renewed:
            self.renewal.succeeded(asked_at)
        self._look_at_log()
        if wanted.stop and not wanted.keep:
            return Ending(RunState.CANCELLED)
        if is_leaving():
            return self._leave(SAVE_AND_LEAVE, settings().leave_seconds)
        if wanted.stop:
            return self._leave(SAVE_ANSWER_AND_LEAVE, self.recording.pace.patience)
        return self._look_for_stall()

    def _leave(self, number: signal.Signals, patience: float) -> Ending | None:
        """Ask the trainer to save and leave; once its time is over, end it."""
        if number not in self.asked_at:
            self.asked_at[number] = time.monotonic()
            self.trainer.signal(number)
        is_over = time.monotonic() - self.asked_at[number] >= patience
        return Ending(RunState.QUEUED) if is_over else None  # where a stop was asked for, it is cancelled

    def _look_for_stall(self) -> Ending | None:
        pace = self.recording.pace
        if pace.silence < pace.patience:
            self.stalled = False
            return None
        if not self.stalled:
            self.stalled = True
            self.recording.mark_stalled()
        if pace.silence < 2 * pace.patience:
            return None
        said = tail_of(self.attempt.log)
        return Ending(RunState.FAILED, ReasonKind.STALLED, f"{pace.silence:.0f}", said)

    def _look_at_log(self) -> None:
        if time.monotonic() - self.log_looked_at > LOG_SECONDS:
            shorten_log(self.attempt.log)
            self.log_looked_at = time.monotonic()

    def _ended_by_us(self, ending: Ending) -> Ending:
        code = self.trainer.end()
        with suppress(OSError):
            remove_parts(self.attempt.run_id)  # it may have been in the middle of a save
        self._store_the_rest()
        return Ending(ending.state, ending.reason, ending.detail, ending.log_tail, code)

    def _ended_by_itself(self) -> Ending:
        code = self.trainer.exit_code() or 0
        if self.asked_at and self.recording.end is None:
            return Ending(RunState.QUEUED, exit_code=code)  # it was asked before it could listen
        ran_out = oom_kills() > self.oom_kills
        return judge_end(code, self.recording.end, log=self.attempt.log, ran_out_of_memory=ran_out)

    def _store_the_rest(self) -> None:
        """Store what the trainer wrote until it was ended."""
        try:
            while not self.recording.is_drained:
                self.recording.store(renew=False)
        except SQLAlchemyError as error:
            log.warning("the last events of run %s are left to its next attempt: %s", self.attempt.run_id, error)


class _ClaimLostError(Exception):
    """The run belongs to another attempt, or may by now."""


def _finish(attempt: AttemptFolder, ending: Ending, *, saved: int = 0) -> None:
    """Write the end down; a database that does not answer is asked again until the claim has run out."""
    gives_up_at = time.monotonic() + settings().lease_seconds
    while not _is_finished(attempt, ending, saved):
        if time.monotonic() > gives_up_at:
            return  # the reconcilers find it
        time.sleep(RETRY_SECONDS)
    if ending.state is not RunState.QUEUED:  # one that goes on maps its rows no second time
        forget_private(attempt.run_folder)
    presence.wake_watchers(attempt.run_id)


def _is_finished(attempt: AttemptFolder, ending: Ending, saved: int) -> bool:
    try:
        with db.unit_of_work() as session:
            end_attempt(session, attempt.run_id, attempt=attempt.number, ending=ending)
        settle_files(attempt.run_id, told=saved)
    except SQLAlchemyError as error:
        log.warning("the end of run %s is not stored yet: %s", attempt.run_id, error)
        return False
    return True
