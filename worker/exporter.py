"""
Make what is made outside training: adapters, merged models, and models ready to train.

Each is one child of the engine that writes a folder and, last, its manifest: a folder without
one is not whole.
"""

import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.config import settings
from app.domain import db, presence
from app.domain.checkpoints import (
    claim_artifact,
    fail_artifact,
    finish_artifact,
    get_artifact,
    renew_artifact,
)
from app.domain.models import ArtifactKind, ReasonKind
from app.domain.preparations import claim_preparation, fail_preparation, finish_preparation, renew_preparation
from app.domain.reasons import reason_text
from worker.children import end_child, start_child, tail_of
from worker.leases import Renewal, lease

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
TICK_SECONDS = 0.25


def make_artifact(artifact_id: int) -> None:
    """Make a queued artifact, unless another worker has it."""
    with db.unit_of_work() as session:
        if not claim_artifact(session, artifact_id, lease=lease()):
            return
        artifact = get_artifact(session, artifact_id)
        checkpoint, kind = artifact.checkpoint, artifact.kind
        run_id, model_path = checkpoint.run_id, checkpoint.run.model.path
        file, adapter = checkpoint.file, checkpoint.adapter
    run_folder = settings().runs_folder / str(run_id)
    folder = run_folder / "artifacts" / str(artifact_id)
    if kind is ArtifactKind.ADAPTER:
        arguments = ["convert", "config.py", file, str(folder)]
    else:
        arguments = ["merge", model_path, adapter or file, str(folder)]
    code, said = _run(arguments, cwd=run_folder, folder=folder, renew=lambda: _renew_artifact(artifact_id))
    _store_artifact(artifact_id, code, said, folder)
    presence.wake_watchers(run_id)


def _store_artifact(artifact_id: int, code: int, said: str, folder: Path) -> None:
    manifest = folder / MANIFEST
    with db.unit_of_work() as session:
        if code == 0 and manifest.exists():
            files: list[dict[str, Any]] = json.loads(manifest.read_text("utf-8"))["files"]
            finish_artifact(session, artifact_id, folder=f"artifacts/{artifact_id}", files=files)
        else:
            fail_artifact(session, artifact_id, reason=reason_of(code, said), detail=said)


def prepare_model(model_id: int) -> None:
    """Re-lay a registered model so that it trains without code of its own, unless another worker does."""
    with db.unit_of_work() as session:
        model = claim_preparation(session, model_id, lease=lease())
        if model is None:
            return
        source, name = model.source, model.name
    folder = settings().models_folder / name
    code, said = _run(
        ["relay", source, str(folder)],
        cwd=settings().models_folder,
        folder=folder,
        renew=lambda: _renew_preparation(model_id),
    )
    with db.unit_of_work() as session:
        if code == 0:
            finish_preparation(session, model_id, path=str(folder))
        else:
            fail_preparation(session, model_id, reason=said or str(reason_text(reason_of(code, said), str(-code))))


def reason_of(code: int, said: str) -> ReasonKind:
    """Name why a child failed, from its exit code and its last lines."""
    if code < 0:
        return ReasonKind.KILLED
    for words, kind in _SIGNS:
        if words in said:
            return kind
    return ReasonKind.CRASHED


_SIGNS = (
    ("No space left on device", ReasonKind.DISK_FULL),
    ("CUDA out of memory", ReasonKind.OUT_OF_GPU_MEMORY),
    ("MemoryError", ReasonKind.OUT_OF_MEMORY),
    ("ModuleNotFoundError", ReasonKind.MISSING_PACKAGE),
)


def _run(arguments: Sequence[str], *, cwd: Path, folder: Path, renew: Callable[[], None]) -> tuple[int, str]:
    """Run one engine command to its end; return its exit code and its last lines."""
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted attempt left
    said = folder.with_name(f"{folder.name}.log")
    said.unlink(missing_ok=True)
    child = start_child(arguments, folder=cwd, log=said, device=None)
    try:
        renewal = Renewal()
        while child.poll() is None:
            if renewal.is_due():
                renew()
            time.sleep(TICK_SECONDS)
    finally:
        end_child(child)
    return child.returncode, tail_of(said, lines=8)


def _renew_artifact(artifact_id: int) -> None:
    with db.unit_of_work() as session:
        renew_artifact(session, artifact_id, lease=lease())


def _renew_preparation(model_id: int) -> None:
    with db.unit_of_work() as session:
        renew_preparation(session, model_id, lease=lease())
