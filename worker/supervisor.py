"""
One run from its claim to its end: start a trainer, store what it writes, stop it, say how it ended.

The supervisor runs in a Celery process. It holds the device's lock and the run's lease while
the trainer lives; the trainer dies with it.
"""

import errno
import json
import logging
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from app.config import settings
from app.domain import db, presence
from app.domain.events import ingest, whole_lines
from app.domain.mixes import count_rows, write_rows
from app.domain.models import Attempt, ReasonKind, Run, RunState
from app.domain.queue import enqueue
from app.domain.runs import claim_run, end_run, get_run, queued_run_ids, recipe_of, renew_lease
from app.domain.trainer_events import TrainerEnded
from app.domain.xtuner_config import render_config
from worker.children import end_child, start_child, tail_of
from worker.gpus import Device, lend_device
from worker.leases import Renewal, lease

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25  # a page shows a point this much after the trainer wrote it, at most


@dataclass
class Attempted:
    """A claimed run, and where its attempt's files are."""

    run_id: int
    attempt_id: int
    number: int
    folder: Path

    @property
    def events(self) -> Path:
        """What the trainer appends its events to."""
        return self.folder / "attempts" / str(self.number) / "events.jsonl"

    @property
    def log(self) -> Path:
        """What the trainer prints."""
        return self.folder / "attempts" / str(self.number) / "trainer.log"


@dataclass(frozen=True)
class Ending:
    """How a run ended, and why."""

    state: RunState
    reason: ReasonKind | None = None
    detail: str = ""


def train_run(run_id: int, *, worker: str) -> None:
    """Train a run if it still waits and a device is free; a run that finds none goes on waiting."""
    with lend_device() as device:
        if device is None:
            log.info("run %s waits: every device is taken", run_id)
            return
        attempted = _claim(run_id, worker)
        if attempted is None:
            log.info("run %s is not waiting any more", run_id)
            return
        _train(attempted, device)
    with db.unit_of_work() as session:
        for waiting in queued_run_ids(session)[:1]:
            enqueue("runs.train", run_id=waiting)


def _claim(run_id: int, worker: str) -> Attempted | None:
    with db.unit_of_work() as session:
        attempt = claim_run(session, run_id, worker=worker, lease=lease())
        if attempt is None:
            return None
        session.flush()  # the attempt's id
        return Attempted(run_id, attempt.id or 0, attempt.number, settings().runs_folder / str(run_id))


def _train(attempted: Attempted, device: Device) -> None:
    try:
        prepare_files(attempted, device)
        trainer = _start_trainer(attempted, device)
    except OSError as error:
        kind = ReasonKind.DISK_FULL if error.errno == errno.ENOSPC else ReasonKind.CRASHED
        _finish(attempted, Ending(RunState.FAILED, kind, str(error)))
        return
    try:
        stopped, end = _watch(attempted, trainer)
    finally:
        end_child(trainer)
    _finish(attempted, judge_end(trainer.returncode, end, stopped=stopped))


def prepare_files(attempted: Attempted, device: Device) -> None:
    """Write what the trainer reads: the recipe, the rows and the rendered config."""
    attempted.events.parent.mkdir(parents=True, exist_ok=True)
    attempted.events.touch()
    with db.unit_of_work() as session:
        run = get_run(session, attempted.run_id)
        recipe, data_file = recipe_of(run), attempted.folder / "mix.jsonl"
        (attempted.folder / "recipe.json").write_text(json.dumps(run.recipe, ensure_ascii=False, indent=2), "utf-8")
        run.mix_sha256 = write_rows(recipe.mix, data_file)
        config = render_config(
            recipe,
            model_path=run.model.path,
            template=run.model.template,
            run_folder=str(attempted.folder),
            data_file=str(data_file),
            rows=count_rows(recipe.mix).total,
            device=device.kind,
        )
    (attempted.folder / "config.py").write_text(config.text, "utf-8")


def _start_trainer(attempted: Attempted, device: Device) -> subprocess.Popen[bytes]:
    arguments = ["train", "config.py", "--work-dir", str(attempted.folder), "--events", str(attempted.events)]
    trainer = start_child(arguments, folder=attempted.folder, log=attempted.log, device=device)
    with db.unit_of_work() as session:
        attempt = session.get_one(Attempt, attempted.attempt_id)
        attempt.pid = trainer.pid
        session.add(attempt)
    return trainer


def _watch(attempted: Attempted, trainer: subprocess.Popen[bytes]) -> tuple[bool, TrainerEnded | None]:
    """
    Store the trainer's events until it ends or must be stopped.

    Returns:
        Whether it was stopped, and the trainer's own account of its end.
    """
    end, renewal = None, Renewal()
    while True:
        ended = trainer.poll() is not None  # asked before the last read, so that nothing is left behind
        wanted, heard = store_events(attempted, renew=renewal.is_due())
        end = heard or end
        if ended or not wanted:
            return not wanted, end
        time.sleep(TICK_SECONDS)


def store_events(attempted: Attempted, *, renew: bool) -> tuple[bool, TrainerEnded | None]:
    """Store new events; return whether the run is still wanted, and the trainer's end if it came."""
    with db.reading() as session:
        offset = session.get_one(Attempt, attempted.attempt_id).event_offset
        wanted = _is_wanted(session, attempted)
    lines = _read_lines(attempted.events, offset)
    if not (lines or renew):
        return wanted, None
    with db.unit_of_work() as session:
        if not renew_lease(session, attempted.run_id, attempt=attempted.number, lease=lease()):
            return False, None
        run = get_run(session, attempted.run_id)
        end = ingest(session, run, session.get_one(Attempt, attempted.attempt_id), lines)
    if lines:
        presence.wake_watchers(attempted.run_id)
    return wanted, end


def _is_wanted(session: Session, attempted: Attempted) -> bool:
    run = session.get_one(Run, attempted.run_id)
    return run.stop_requested_at is None and run.attempt == attempted.number


def _read_lines(events: Path, offset: int, *, most_bytes: int = 4 << 20) -> bytes:
    with events.open("rb") as file:
        file.seek(offset)
        return whole_lines(file.read(most_bytes))


def judge_end(exit_code: int, end: TrainerEnded | None, *, stopped: bool) -> Ending:
    """Say how a run ended: by the trainer's own last line first, by its exit code where it wrote none."""
    if end is not None and end.outcome == "finished" and exit_code == 0:
        return Ending(RunState.FINISHED)
    if stopped:
        return Ending(RunState.CANCELLED)
    if end is not None and end.outcome == "failed":
        kind = ReasonKind(end.reason) if end.reason in set(ReasonKind) else ReasonKind.CRASHED
        return Ending(RunState.FAILED, kind, end.detail)
    if exit_code < 0:
        return Ending(RunState.FAILED, ReasonKind.KILLED, str(-exit_code))
    kind = ReasonKind.NO_OUTPUT if exit_code == 0 else ReasonKind.CRASHED
    return Ending(RunState.FAILED, kind)


def _finish(attempted: Attempted, ending: Ending) -> None:
    log_tail = tail_of(attempted.log) if ending.state is RunState.FAILED else ""
    with db.unit_of_work() as session:
        end_run(
            session,
            attempted.run_id,
            attempt=attempted.number,
            state=ending.state,
            reason=ending.reason,
            detail=ending.detail,
            log_tail=log_tail,
        )
    presence.wake_watchers(attempted.run_id)
