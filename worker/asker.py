"""
Have probes that were added later answered by the checkpoints of a run that has ended.

An asking takes a device as a training does, and holds it as long. It is a child of the engine that
loads the base model once and writes a line for every checkpoint, which is stored as it comes; an
asking that was interrupted asks only what is still missing.
"""

import errno
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlmodel import Session

from app.config import settings
from app.confinement import Reach
from app.domain import claims, db, presence
from app.domain.approvals import RefusedModelError, check_approved
from app.domain.askable import Unanswered, unanswered
from app.domain.askings import (
    claim_asking,
    fail_asking,
    finish_asking,
    put_asking_back,
    store_answers,
    waiting_askings,
)
from app.domain.beneath import make_beneath, write_beneath
from app.domain.events import parse
from app.domain.model_dangers import model_files
from app.domain.models import Asking, Checkpoint, ReasonKind, Run
from app.domain.recipes import Method
from app.domain.retention import retire_unreadable
from app.domain.runs import get_run, id_of, locked_run, recipe_of
from app.domain.trainer_events import AnswersGiven, CheckpointPassedOver
from app.domain.training import Precision
from worker.children import Place, forget_private
from worker.commands import Outcome, run_command
from worker.gpus import Device, lend_device
from worker.leaving import is_leaving
from worker.recording import read_lines, settle_ended

log = logging.getLogger(__name__)

FAILED = 1  # an exit code
CPU = "CPU"  # what a device's name begins with where it is no GPU


@dataclass(frozen=True)
class Claim:
    """An asking that this worker holds."""

    asking_id: int
    attempt: int
    run_id: int

    @property
    def folder(self) -> Path:
        """Where its jobs, answers and logs are."""
        return settings().run_folder(self.run_id) / "askings" / str(self.asking_id)


def ask_waiting() -> None:
    """Make the askings that wait, one after the other, while a device is free."""
    while not is_leaving():
        with lend_device() as device:
            if device is None or not ask_next(device):
                return


def ask_next(device: Device) -> bool:
    """Make the asking that has waited longest on a device that was lent; False when none waits."""
    try:
        with db.unit_of_work() as session:
            claim = _claim_next(session, device)
        if claim is not None:
            _make(claim, device)
    except Exception:  # a run that waits for the same device is to start all the same
        log.exception("an asking was broken off; once its claim has run out, it is gone on with")
        return False
    return claim is not None


def _make(claim: Claim, device: Device) -> None:
    presence.wake_watchers(claim.run_id)
    _ask(claim, device)
    settle_ended(claim.run_id)  # what only stayed to be asked
    presence.wake_watchers(claim.run_id)


def _claim_next(session: Session, device: Device) -> Claim | None:
    for waiting in waiting_askings(session):
        if device.kind == "cpu" and _wants_gpu(session, waiting):
            continue
        asking = claim_asking(session, id_of(waiting), device=device.hardware)
        if asking is not None:
            return Claim(id_of(asking), asking.attempt, asking.run_id)
    return None


def _wants_gpu(session: Session, asking: Asking) -> bool:
    """Whether a run was trained on a GPU and a worker that has one is there to ask it."""
    devices = [attempt.device for attempt in get_run(session, asking.run_id).attempts]
    was_on_gpu = bool(devices) and bool(devices[-1]) and not devices[-1].startswith(CPU)
    return was_on_gpu and any(worker.device != CPU for worker in presence.live_workers())


def _ask(claim: Claim, device: Device) -> None:
    """Ask until nothing is left: a probe that was added meanwhile is asked in a round of its own."""
    number = 0
    while not _is_finished(claim):
        number += 1
        round_ = Round(claim, number)
        try:
            outcome = round_.run(device)
        except RefusedModelError as error:
            outcome = Outcome(FAILED, f"{ReasonKind.REFUSED_MODEL}: {error}", was_interrupted=False)
        except OSError as error:  # before the engine began: the job could not be written, or no process started
            outcome = Outcome(FAILED, f"{_reason_of(error)}: {error}", was_interrupted=False)
        if outcome.was_interrupted or outcome.exit_code or not (round_.stored or _is_finished(claim)):
            _give_up(claim, outcome)
            return


def _reason_of(error: OSError) -> ReasonKind:
    """Name why a file could not be written, or a process not started."""
    return ReasonKind.DISK_FULL if error.errno in {errno.ENOSPC, errno.EDQUOT} else ReasonKind.CRASHED


def _is_finished(claim: Claim) -> bool:
    with db.unit_of_work() as session:
        return finish_asking(session, claim.asking_id, attempt=claim.attempt)


def _give_up(claim: Claim, outcome: Outcome) -> None:
    with db.unit_of_work() as session:
        if outcome.was_interrupted:
            put_asking_back(session, claim.asking_id, attempt=claim.attempt)
        else:
            reason = outcome.reason if outcome.exit_code else ReasonKind.NO_OUTPUT
            fail_asking(session, claim.asking_id, attempt=claim.attempt, reason=reason, detail=outcome.detail)


@dataclass
class Round:
    """One start of the engine for an asking."""

    claim: Claim
    number: int
    offset: int = field(default=0, init=False)
    """Bytes of the engine's lines that are stored."""
    stored: int = field(default=0, init=False)
    """Checkpoints whose answers are, or that are known to give none."""

    @property
    def name(self) -> str:
        """What its files begin with: no two rounds write to the same one."""
        return f"{self.claim.attempt}-{self.number}"

    @property
    def lines(self) -> Path:
        """What the engine appends answers to."""
        return self.claim.folder / f"{self.name}.jsonl"

    def run(self, device: Device) -> Outcome:
        """Write the job, and run it to its end."""
        folder = self.claim.folder
        run_folder = settings().run_folder(self.claim.run_id)
        make_beneath(run_folder, folder)  # where the run's own folder is missing, its disk is: no file is gone
        job = folder / f"{self.name}.json"
        with db.reading() as session:
            run = get_run(session, self.claim.run_id)
            check_approved(session, Path(run.model.path))
            content = job_of(session, run)
        write_beneath(run_folder, job, json.dumps(content, ensure_ascii=False, indent=2))
        reach = Reach(reads=(str(run_folder), *model_files(Path(content["model"]))), writes=(str(folder),))
        try:
            return run_command(
                ["ask", str(job), "--events", str(self.lines)],
                place=Place(run_folder, folder / f"{self.name}.log", reach),
                renew=self._renew,
                device=device,
                look=self._store,
            )
        finally:
            forget_private(folder)

    def _renew(self) -> bool:
        with db.unit_of_work() as session:
            return claims.renew(session, Asking, self.claim.asking_id, attempt=self.claim.attempt)

    def _store(self) -> None:
        lines = read_lines(self.lines, self.offset, root=settings().runs_folder)
        told = [event for event in parse(lines) if isinstance(event, AnswersGiven | CheckpointPassedOver)]
        if told:
            with db.unit_of_work() as session:
                for event in told:
                    self._store_event(session, event)
            presence.wake_watchers(self.claim.run_id)
        self.offset, self.stored = self.offset + len(lines), self.stored + len(told)

    def _store_event(self, session: Session, event: AnswersGiven | CheckpointPassedOver) -> None:
        asking_id, attempt, run_id = self.claim.asking_id, self.claim.attempt, self.claim.run_id
        if isinstance(event, AnswersGiven):
            store_answers(session, asking_id, event, attempt=attempt)
            return
        run = locked_run(session, run_id)
        if claims.renew(session, Asking, asking_id, attempt=attempt):
            log.warning("run %s: iteration %s cannot be asked: %s", run_id, event.iteration, event.problem)
            retire_unreadable(session, run, event.iteration)


def job_of(session: Session, run: Run) -> dict[str, Any]:
    """Return what the engine is to ask, as plain data: the model as the run had it, and what is missing."""
    recipe = recipe_of(run)
    is_full = recipe.method is Method.FULL
    return {
        "model": run.model.path,
        "template": run.model.template,
        "method": recipe.method,
        "precision": Precision.FLOAT32 if is_full else recipe.training.precision,
        "system": recipe.mix.system,
        "max_new_tokens": recipe.checkpoints.max_new_tokens,
        "checkpoints": _checkpoints(unanswered(session, run), settings().run_folder(id_of(run))),
    }


def _checkpoints(missing: Sequence[Unanswered], folder: Path) -> list[dict[str, Any]]:
    return [
        {
            "iteration": each.checkpoint.iteration,
            "files": _files(each.checkpoint, folder),
            "probes": [{"position": probe.position, "question": probe.question} for probe in each.probes],
        }
        for each in missing
    ]


def _files(checkpoint: Checkpoint, folder: Path) -> str:
    """Return what a checkpoint answers with: its adapter, or its weights where there is none; none for the base."""
    name = checkpoint.adapter or checkpoint.file
    return str(folder / name) if name else ""
