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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

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
from app.domain.models import ArtifactKind, ReasonKind
from app.domain.preparations import (
    claim_preparation,
    fail_preparation,
    finish_preparation,
    release_preparation,
    renew_preparation,
)
from app.domain.reasons import reason_text
from worker.children import start_child, tail_of
from worker.endings import reason_of
from worker.leases import Renewal
from worker.leaving import is_leaving

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
MOST_DETAIL = 2_000  # characters


@dataclass(frozen=True)
class Outcome:
    """How one engine command ended."""

    exit_code: int
    said: str
    """Its last lines."""
    was_interrupted: bool
    """This worker leaves, or the claim is another's: nothing may be written down."""

    @property
    def reason(self) -> ReasonKind:
        """Why it failed: what the engine named, or what its exit tells."""
        named = self.said.rpartition("\n")[2].partition(":")[0]
        return ReasonKind(named) if named in set(ReasonKind) else reason_of(self.exit_code, self.said)

    @property
    def detail(self) -> str:
        """The failure's own words: the engine's last line."""
        if self.exit_code < 0:
            return str(-self.exit_code)
        last = self.said.rpartition("\n")[2]
        return last.partition(": ")[2] if last.partition(":")[0] in set(ReasonKind) else last


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
            fail_artifact(
                session, artifact_id, attempt=attempt, reason=outcome.reason, detail=outcome.detail[:MOST_DETAIL]
            )


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
    """Run one engine command to its end, or until this worker leaves or has lost the claim."""
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted attempt left
    log_file = folder.with_name(f"{folder.name}.log")
    log_file.unlink(missing_ok=True)
    child = start_child(arguments, folder=cwd, log=log_file, device=None)
    renewal, is_ours = Renewal(), True
    try:
        while child.exit_code() is None and is_ours and not is_leaving():
            if renewal.is_due():
                is_ours = _renewed(renewal, renew)
            time.sleep(TICK_SECONDS)
        was_interrupted = child.exit_code() is None
    finally:
        code = child.end()
    return Outcome(code, tail_of(log_file, lines=8), was_interrupted)


def _renewed(renewal: Renewal, renew: Callable[[], bool]) -> bool:
    """Renew a claim; a database that does not answer is asked again until the claim has run out."""
    asked_at = time.monotonic()
    try:
        is_ours = renew()
    except SQLAlchemyError as error:
        log.warning("a claim could not be renewed: %s", error)
        return not renewal.is_lost
    renewal.succeeded(asked_at)
    return is_ours
