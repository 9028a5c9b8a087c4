"""Checkpoints and what is made from them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import update
from sqlmodel import Session, col, select

from app.domain.errors import ConflictError, NotFoundError
from app.domain.messages import message
from app.domain.models import Artifact, ArtifactKind, ArtifactState, Checkpoint, ReasonKind, utc_now
from app.domain.queue import enqueue

TASK_OF = {ArtifactKind.ADAPTER: "checkpoints.convert", ArtifactKind.MERGED: "checkpoints.merge"}


def get_checkpoint(session: Session, checkpoint_id: int) -> Checkpoint:
    """Return a checkpoint; NotFoundError when there is none."""
    checkpoint = session.get(Checkpoint, checkpoint_id)
    if checkpoint is None:
        raise NotFoundError(message("There is no checkpoint {id}.", id=checkpoint_id))
    return checkpoint


def get_artifact(session: Session, artifact_id: int) -> Artifact:
    """Return an artifact; NotFoundError when there is none."""
    artifact = session.get(Artifact, artifact_id)
    if artifact is None:
        raise NotFoundError(message("There is no artifact {id}.", id=artifact_id))
    return artifact


def request_artifact(session: Session, checkpoint_id: int, kind: ArtifactKind) -> Artifact:
    """
    Ask for an adapter or a merged model; one that is there or on its way is returned as it is.

    Raises:
        ConflictError: the checkpoint is the base model, or its files are deleted.
    """
    checkpoint = get_checkpoint(session, checkpoint_id)
    if checkpoint.iteration == 0:
        raise ConflictError(message("The base model is not tuned: there is nothing to convert or merge."))
    if checkpoint.deleted_at is not None or not checkpoint.file:
        raise ConflictError(message("The files of this checkpoint are deleted. Its answers are kept."))
    made = session.exec(
        select(Artifact).where(
            Artifact.checkpoint_id == checkpoint_id, Artifact.kind == kind, Artifact.state != ArtifactState.FAILED
        )
    ).first()
    if made is not None:
        return made
    artifact = Artifact(checkpoint_id=checkpoint_id, kind=kind)
    session.add(artifact)
    session.flush()  # the message needs the artifact's id
    enqueue(TASK_OF[kind], artifact_id=artifact.id or 0)
    return artifact


def claim_artifact(session: Session, artifact_id: int, *, lease: timedelta) -> bool:
    """Take a queued artifact for one worker; False when somebody else has it."""
    claimed = session.exec(
        update(Artifact)
        .where(col(Artifact.id) == artifact_id, col(Artifact.state) == ArtifactState.QUEUED)
        .values(state=ArtifactState.RUNNING, lease_until=utc_now() + lease)
    )
    return claimed.rowcount == 1


def renew_artifact(session: Session, artifact_id: int, *, lease: timedelta) -> None:
    """Keep a claim on an artifact."""
    session.exec(update(Artifact).where(col(Artifact.id) == artifact_id).values(lease_until=utc_now() + lease))


def finish_artifact(session: Session, artifact_id: int, *, folder: str, files: list[dict[str, Any]]) -> None:
    """Write down an artifact's files; `folder` is relative to the run's folder."""
    artifact = get_artifact(session, artifact_id)
    artifact.state, artifact.folder, artifact.files = ArtifactState.FINISHED, folder, files
    artifact.size_bytes = sum(file["size_bytes"] for file in files)
    artifact.ended_at, artifact.lease_until = utc_now(), None
    session.add(artifact)


def fail_artifact(session: Session, artifact_id: int, *, reason: ReasonKind, detail: str) -> None:
    """Write down why an artifact could not be made."""
    artifact = get_artifact(session, artifact_id)
    artifact.state, artifact.reason, artifact.reason_detail = ArtifactState.FAILED, reason, detail
    artifact.ended_at, artifact.lease_until = utc_now(), None
    session.add(artifact)


def queued_artifacts(session: Session) -> Sequence[Artifact]:
    """Return the artifacts that wait to be made."""
    return session.exec(select(Artifact).where(Artifact.state == ArtifactState.QUEUED)).all()


def lost_artifacts(session: Session) -> Sequence[Artifact]:
    """Return the artifacts whose worker has stopped renewing its claim."""
    lost = select(Artifact).where(Artifact.state == ArtifactState.RUNNING, col(Artifact.lease_until) < utc_now())
    return session.exec(lost).all()
