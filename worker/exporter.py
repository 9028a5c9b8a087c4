"""
Make what is made outside training: adapters, merged models, and models ready to train.

Each is one child of the engine that writes a folder and, last, its manifest: a folder without
one is not whole.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.config import settings
from app.domain import db, presence
from app.domain.checkpoints import (
    claim_artifact,
    fail_artifact,
    finish_artifact,
    put_artifact_back,
    renew_artifact,
)
from app.domain.disk import MANIFEST
from app.domain.models import ArtifactKind
from app.domain.preparations import (
    claim_preparation,
    fail_preparation,
    finish_preparation,
    release_preparation,
    renew_preparation,
)
from app.domain.reasons import reason_text
from worker.commands import MOST_DETAIL, Outcome, run_command


def make_artifact(artifact_id: int) -> None:
    """Make a queued artifact, unless another worker has it."""
    with db.unit_of_work() as session:
        artifact = claim_artifact(session, artifact_id)
        if artifact is None:
            return
        attempt, checkpoint, kind = artifact.attempt, artifact.checkpoint, artifact.kind
        run_id, model_path = checkpoint.run_id, checkpoint.run.model.path
        file, adapter = checkpoint.file, checkpoint.adapter
    run_folder = settings().run_folder(run_id)
    folder = run_folder / "artifacts" / str(artifact_id)
    if kind is ArtifactKind.ADAPTER:
        arguments = ["convert", "config.py", file or adapter, str(folder)]
    else:
        arguments = ["merge", model_path, adapter or file, str(folder)]

    def renew() -> bool:
        with db.unit_of_work() as session:
            return renew_artifact(session, artifact_id, attempt=attempt)

    outcome = _run(arguments, cwd=run_folder, folder=folder, renew=renew)
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
    outcome = _run(["relay", source, str(folder)], cwd=settings().models_folder, folder=folder, renew=renew)
    with db.unit_of_work() as session:
        if outcome.was_interrupted:
            release_preparation(session, model_id)
        elif outcome.exit_code == 0:
            finish_preparation(session, model_id, path=str(folder))
        else:
            reason = f"{reason_text(outcome.reason, outcome.detail)} {outcome.detail}"
            fail_preparation(session, model_id, reason=reason[:MOST_DETAIL])


def _run(arguments: Sequence[str], *, cwd: Path, folder: Path, renew: Callable[[], bool]) -> Outcome:
    """Run one engine command that makes a folder."""
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted attempt left
    log_file = folder.with_name(f"{folder.name}.log")
    log_file.unlink(missing_ok=True)
    return run_command(arguments, cwd=cwd, log_file=log_file, renew=renew)
