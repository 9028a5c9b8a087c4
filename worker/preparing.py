"""Before a trainer starts: what it reads, what it goes on from, and whether there is room for what it writes."""

import errno
import json
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, select

from app.config import settings
from app.confinement import Reach
from app.domain import db
from app.domain.approvals import RefusedModelError, check_approved
from app.domain.attempts import Ending, renew_claim
from app.domain.backups.making import time_stamp
from app.domain.beneath import append_beneath, make_beneath, write_beneath
from app.domain.checkpoint_plan import plan_disk
from app.domain.disk import put_on_disk
from app.domain.forecasts import forecast_recipe
from app.domain.held_out import hold_out_of_rows
from app.domain.mixes import EARLIER_NAME, MissingSetError, adopt_rows, count_rows, keep_rows, rows_file, rows_kept
from app.domain.model_dangers import model_files
from app.domain.models import Answer, Attempt, Checkpoint, Model, ReasonKind, Run, RunState
from app.domain.recipes import Probe, ProbeGroup, Recipe
from app.domain.retention import remove_parts
from app.domain.runs import get_run, recipe_of
from app.domain.versions import keep_versions
from app.domain.xtuner_config import render_config
from worker.children import Child, Place, start_child
from worker.gpus import Device
from worker.leases import renewing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AttemptFolder:
    """A claimed attempt, and where its files are."""

    run_id: int
    id: int
    number: int

    @property
    def run_folder(self) -> Path:
        """The run's folder: what all of its attempts share."""
        return settings().run_folder(self.run_id)

    @property
    def events(self) -> Path:
        """What the trainer appends its events to."""
        return self.run_folder / "attempts" / str(self.number) / "events.jsonl"

    @property
    def log(self) -> Path:
        """What the trainer prints."""
        return self.run_folder / "attempts" / str(self.number) / "trainer.log"


class NotStartedError(Exception):
    """An attempt ended before its trainer began."""

    def __init__(self, ending: Ending) -> None:
        """Keep how it ended."""
        super().__init__(ending.detail)
        self.ending = ending


def make_way(attempt: AttemptFolder) -> None:
    """
    Put aside what another run of this id left where a first attempt will write: an older database counts anew.

    Raises:
        NotStartedError: it could not be moved.
    """
    folder = attempt.run_folder
    if attempt.number > 1 or not os.path.lexists(folder / "attempts"):
        return
    kept = folder.with_name(f"{folder.name}.before-{time_stamp()}")
    try:
        folder.rename(kept)
        put_on_disk(kept.parent)
    except OSError as error:
        raise NotStartedError(Ending(RunState.FAILED, ReasonKind.CRASHED, str(error))) from error
    log.warning("run %s: what another run had left in its folder is in %s", attempt.run_id, kept)


@dataclass(frozen=True)
class _Sources:
    """What the files are made of, read in one go: nothing is written while the database waits."""

    recipe: Recipe
    model_path: str
    template: str
    mix_sha256: str
    """Of the rows that earlier attempts were trained on."""


def prepare(attempt: AttemptFolder, device: Device) -> None:
    """
    Write what the trainer reads: the recipe, the rows and the rendered config.

    Raises:
        NotStartedError: the disk is full, too small for the checkpoints to come, or cannot be written to; or a
            saved set of the mix is not here; or the model holds what no admin has approved.
    """
    try:
        with renewing(lambda: _renew(attempt)):  # a large mix takes longer to write than a claim lasts
            sources = _read_sources(attempt)
            _check_space(attempt, sources)
            _write_files(attempt, sources, device)
    except MissingSetError as error:
        raise NotStartedError(Ending(RunState.FAILED, ReasonKind.BAD_DATA, str(error))) from error
    except RefusedModelError as error:
        raise NotStartedError(Ending(RunState.FAILED, ReasonKind.REFUSED_MODEL, str(error))) from error
    except OSError as error:
        kind = ReasonKind.DISK_FULL if error.errno in {errno.ENOSPC, errno.EDQUOT} else ReasonKind.CRASHED
        raise NotStartedError(Ending(RunState.FAILED, kind, str(error))) from error


def _renew(attempt: AttemptFolder) -> None:
    with db.unit_of_work() as session:
        renew_claim(session, attempt.run_id, attempt=attempt.number)


def _read_sources(attempt: AttemptFolder) -> _Sources:
    with db.reading() as session:
        run = get_run(session, attempt.run_id)
        check_approved(session, Path(run.model.path))
        return _Sources(_with_added_probes(run), run.model.path, run.model.template, run.mix_sha256)


def _with_added_probes(run: Run) -> Recipe:
    """Return a run's recipe with the probes that were added before it went on: a probe's place is its position."""
    recipe = recipe_of(run)
    added = [
        Probe(question=probe.question, group=ProbeGroup(probe.group), reference=probe.reference)
        for probe in run.probes
        if probe.added_at is not None
    ]
    return recipe.model_copy(update={"probes": (*recipe.probes, *added)})


def _check_space(attempt: AttemptFolder, sources: _Sources) -> None:
    attempt.run_folder.mkdir(parents=True, exist_ok=True)
    iterations = _iterations_of(sources)
    planned = plan_disk(sources.recipe, Path(sources.model_path), iterations=iterations)
    needed = (planned.peak if planned else 0) + settings().min_free_bytes
    free = shutil.disk_usage(attempt.run_folder).free
    if free < needed:
        detail = f"{needed / 1e9:.1f} GB are needed for its checkpoints and to spare, {free / 1e9:.1f} GB are free"
        raise NotStartedError(Ending(RunState.FAILED, ReasonKind.DISK_FULL, detail))


def _iterations_of(sources: _Sources) -> int:
    """Return how long the run is; where that cannot be counted here, as long as it can be at most."""
    training = sources.recipe.training
    if training.iterations is not None:
        return training.iterations
    rows = count_rows(sources.recipe.mix).total
    pinned = rows_kept(sources.mix_sha256)
    model = Model(name="", source="", path=sources.model_path, template=sources.template)
    counted = forecast_recipe(sources.recipe, model=model).iterations if pinned in {0, rows} else None
    # Packs are never more than rows: each row is cut to the length of a pack.
    return counted or max(1, -(-(pinned or rows) // training.batch_size)) * (training.epochs or 1)


def _write_files(attempt: AttemptFolder, sources: _Sources, device: Device) -> None:
    folder, recipe = attempt.run_folder, sources.recipe
    make_beneath(folder, attempt.events.parent)
    append_beneath(folder, attempt.events).close()
    remove_parts(attempt.run_id)
    text = json.dumps(recipe.model_dump(mode="json"), ensure_ascii=False, indent=2)
    write_beneath(folder, folder / "recipe.json", text)
    sha256 = _pin_rows(attempt, sources)
    config = render_config(
        recipe,
        model_path=sources.model_path,
        template=sources.template,
        run_folder=str(folder),
        data_file=str(rows_file(sha256)),
        rows=rows_kept(sha256),
        device=device.kind,
        held_out=hold_out_of_rows(recipe, rows_file(sha256)),
    )
    write_beneath(folder, folder / "config.py", config.text)
    keep_versions(folder)
    with db.unit_of_work() as session:
        run = get_run(session, attempt.run_id)
        run.mix_sha256 = sha256
        session.add(run)


def _pin_rows(attempt: AttemptFolder, sources: _Sources) -> str:
    """
    Return the hash of the rows to train on: those of the attempts before, where there were any.

    Raises:
        NotStartedError: these are gone, and cannot be made again.
    """
    pinned = sources.mix_sha256
    if pinned and rows_file(pinned).is_file():
        return pinned
    if pinned and adopt_rows(attempt.run_folder / EARLIER_NAME, pinned):
        return pinned
    sha256 = keep_rows(sources.recipe.mix)
    if pinned and sha256 != pinned:
        detail = "the rows that this run was trained on are gone, and its recipe makes others now"
        raise NotStartedError(Ending(RunState.FAILED, ReasonKind.BAD_DATA, detail))
    return sha256


def start_trainer(attempt: AttemptFolder, device: Device) -> Child:
    """
    Start the trainer; one that is not the first goes on from the newest checkpoint that is what was written.

    Raises:
        NotStartedError: the system cannot start a process now.
    """
    folder = attempt.run_folder
    arguments = ["train", "config.py", "--work-dir", str(folder), "--events", str(attempt.events)]
    with db.reading() as session:
        run = get_run(session, attempt.run_id)
        reads = (str(rows_file(run.mix_sha256)), *model_files(Path(run.model.path)))
        if attempt.number > 1:
            arguments += ["--resume", *_resumable(session, attempt.run_id)]
            arguments += ["--answered", *_answered(session, attempt.run_id)]
    try:
        place = Place(folder, attempt.log, Reach(reads=reads, writes=(str(folder),)))
        trainer = start_child(arguments, place=place, device=device)
    except OSError as error:
        raise NotStartedError(Ending(RunState.FAILED, ReasonKind.CRASHED, str(error))) from error
    try:
        _write_down(attempt, trainer)
    except SQLAlchemyError:
        trainer.end()  # nobody would watch it
        raise
    return trainer


def _write_down(attempt: AttemptFolder, trainer: Child) -> None:
    with db.unit_of_work() as session:
        row = session.get_one(Attempt, attempt.id)
        row.pid = trainer.pid
        session.add(row)


def _resumable(session: Session, run_id: int) -> list[str]:
    """Name what a run may go on from as the engine reads it, the newest first."""
    statement = select(Checkpoint).where(Checkpoint.run_id == run_id, Checkpoint.state_file != "")
    rows = session.exec(statement.order_by(col(Checkpoint.iteration).desc()))
    return [f"{row.iteration}:{row.sha256}" for row in rows]


def _answered(session: Session, run_id: int) -> list[str]:
    statement = select(Checkpoint.iteration).join(Answer, col(Answer.checkpoint_id) == Checkpoint.id)
    return [str(iteration) for iteration in session.exec(statement.where(Checkpoint.run_id == run_id).distinct())]
