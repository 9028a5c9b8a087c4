"""
Make what is made outside training: adapters, merged models, and models ready to train.

Each is one child of the engine that writes a folder and, last, its manifest: a folder without
one is not whole.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.config import settings
from app.confinement import Reach
from app.domain import db, presence
from app.domain.approvals import RefusedModelError, check_approved
from app.domain.beneath import make_beneath
from app.domain.checkpoints import (
    claim_artifact,
    fail_artifact,
    finish_artifact,
    put_artifact_back,
    renew_artifact,
)
from app.domain.disk import MANIFEST, put_on_disk
from app.domain.model_dangers import model_files
from app.domain.models import ArtifactKind, ReasonKind
from app.domain.preparations import (
    claim_preparation,
    fail_preparation,
    finish_preparation,
    release_preparation,
    renew_preparation,
)
from app.domain.reasons import reason_text
from worker.children import Place
from worker.commands import MOST_DETAIL, Outcome, run_command

FAILED = 1  # an exit code


def make_artifact(artifact_id: int) -> None:
    """Make a queued artifact, unless another worker has it."""
    with db.unit_of_work() as session:
        artifact = claim_artifact(session, artifact_id)
        if artifact is None:
            return
        attempt, checkpoint, kind = artifact.attempt, artifact.checkpoint, artifact.kind
        run_id, model = checkpoint.run_id, checkpoint.run.model.path
        file, adapter = checkpoint.file, checkpoint.adapter
    run_folder = settings().run_folder(run_id)
    folder = run_folder / "artifacts" / str(artifact_id)
    if kind is ArtifactKind.ADAPTER:
        arguments = ["convert", "config.py", file or adapter]
    else:
        arguments = ["merge", model, adapter or file]

    def renew() -> bool:
        with db.unit_of_work() as session:
            return renew_artifact(session, artifact_id, attempt=attempt)

    reads = (str(run_folder), *model_files(Path(model)))
    outcome = _make(folder, Making(arguments, Path(model), run_folder, reads), renew=renew)
    _store_artifact(artifact_id, attempt, outcome, folder)
    presence.wake_watchers(run_id)


def _store_artifact(artifact_id: int, attempt: int, outcome: Outcome, folder: Path) -> None:
    manifest = folder / MANIFEST
    with db.unit_of_work() as session:
        if outcome.was_interrupted:
            put_artifact_back(session, artifact_id, attempt=attempt)
        elif outcome.exit_code == 0 and manifest.exists():
            files: list[dict[str, Any]] = json.loads(manifest.read_text("utf-8"))["files"]
            finish_artifact(session, artifact_id, attempt=attempt, folder=f"artifacts/{artifact_id}", files=files)
        else:
            fail_artifact(session, artifact_id, attempt=attempt, reason=outcome.reason, detail=outcome.detail)


def prepare_model(model_id: int) -> None:
    """Re-lay a registered model so that it trains without code of its own, unless another worker does."""
    with db.unit_of_work() as session:
        model = claim_preparation(session, model_id)
        if model is None:
            return
        source, name = model.source, model.name

    def renew() -> bool:
        with db.unit_of_work() as session:
            return renew_preparation(session, model_id)

    folder = settings().models_folder / name
    making = Making(["relay", source], Path(source), settings().models_folder, model_files(Path(source)))
    outcome = _make(folder, making, renew=renew)
    with db.unit_of_work() as session:
        if outcome.was_interrupted:
            release_preparation(session, model_id)
        elif outcome.exit_code == 0:
            finish_preparation(session, model_id, path=str(folder))
        else:
            reason = f"{reason_text(outcome.reason, outcome.detail)} {outcome.detail}"
            fail_preparation(session, model_id, reason=reason[:MOST_DETAIL])


@dataclass(frozen=True)
class Making:
    """One engine command that makes a folder, whose name is to be its last argument."""

    arguments: Sequence[str]
    model: Path
    """What it loads: vouched for before it does."""
    cwd: Path
    reads: tuple[str, ...]


def _make(folder: Path, making: Making, *, renew: Callable[[], bool]) -> Outcome:
    """Make a folder in one of its own, where the command may write and nothing else is; then put it in its place."""
    aside = folder.with_name(f".{folder.name}.making.part")
    log_file = folder.with_name(f"{folder.name}.log")
    for left in (aside, folder):  # what an interrupted attempt left
        shutil.rmtree(left, ignore_errors=True)
    log_file.unlink(missing_ok=True)
    try:
        with db.reading() as session:
            check_approved(session, making.model)
        make_beneath(making.cwd, aside)
        place = Place(making.cwd, log_file, Reach(reads=making.reads, writes=(str(aside),)))
        outcome = run_command([*making.arguments, str(aside / folder.name)], place=place, renew=renew)
        if (aside / folder.name).is_dir() and not outcome.was_interrupted:
            (aside / folder.name).rename(folder)
            put_on_disk(folder.parent)
    except RefusedModelError as error:
        return Outcome(FAILED, f"{ReasonKind.REFUSED_MODEL}: {error}", was_interrupted=False)
    except OSError as error:  # no process could be started, or none that is confined
        return Outcome(FAILED, f"{ReasonKind.CRASHED}: {error}", was_interrupted=False)
    else:
        return outcome
    finally:
        shutil.rmtree(aside, ignore_errors=True)
