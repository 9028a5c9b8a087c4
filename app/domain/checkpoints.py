"""Checkpoints and what is made from them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import update
from sqlmodel import Session, col, select

from app.domain.columns import utc_now
from app.domain.errors import ConflictError, NotFoundError
from app.domain.messages import message
from app.domain.models import Artifact, ArtifactKind, ArtifactState, Checkpoint, ReasonKind, Run
from app.domain.queue import enqueue

MOST_ATTEMPTS = 3  # a worker that dies of making an artifact would die of it again
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


def is_in_passing(checkpoint: Checkpoint, run: Run, *, every: int, is_answered: bool) -> bool:
    """
    Whether a checkpoint was saved only to go on from, by a trainer that was told to leave.

    It is off the cadence, so it is never asked, and goes when the run has gone on: a run that was
    interrupted ends with the checkpoints and answers of one that was not.

    Args:
        every: the cadence, in iterations.
    """
    is_planned = checkpoint.iteration % every == 0 or checkpoint.iteration == run.iterations
    return not is_planned and not is_answered


def request_artifact(session: Session, checkpoint_id: int, kind: ArtifactKind) -> Artifact:
    """
    Ask for an adapter or a merged model; one that is there or on its way is returned as it is.

    Raises:
        ConflictError: the checkpoint is the base model, or its files are deleted.
    """
    checkpoint = get_checkpoint(session, checkpoint_id)
    if checkpoint.iteration == 0:
        raise ConflictError(message("The base model is not tuned: there is nothing to convert or merge."))
    session.refresh(checkpoint, with_for_update=True)  # retention may be about to delete its files
    if checkpoint.deleted_at is not None or not (checkpoint.file or checkpoint.adapter):
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


def pin_checkpoint(session: Session, checkpoint_id: int, *, is_pinned: bool) -> Checkpoint:
    """
    Keep a checkpoint's files from retention, or leave them to it again.

    Raises:
        ConflictError: there are no files to keep.
    """
    checkpoint = get_checkpoint(session, checkpoint_id)
    session.refresh(checkpoint, with_for_update=True)
    if is_pinned and not (checkpoint.file or checkpoint.adapter):
        raise ConflictError(message("This checkpoint has no files to keep. Its answers are kept always."))
    checkpoint.is_pinned = is_pinned
    session.add(checkpoint)
    return checkpoint


# ── Work on an artifact ────────────────────────────────────────────────────


def claim_artifact(session: Session, artifact_id: int) -> Artifact | None:
    """Take a queued artifact for one worker; None when somebody else has it."""
    claimed = session.exec(
        update(Artifact)
        .where(col(Artifact.id) == artifact_id, col(Artifact.state) == ArtifactState.QUEUED)
        .values(state=ArtifactState.RUNNING, attempt=Artifact.attempt + 1, renewed_at=utc_now())
    )
    return get_artifact(session, artifact_id) if claimed.rowcount == 1 else None


def renew_artifact(session: Session, artifact_id: int, *, attempt: int) -> bool:
    """Keep a claim on an artifact; False when it is no longer this attempt's."""
    return _write(session, artifact_id, attempt, renewed_at=utc_now())


def finish_artifact(
    session: Session, artifact_id: int, *, attempt: int, folder: str, files: list[dict[str, Any]]
) -> bool:
    """Write down an artifact's files, unless another attempt has it; `folder` is relative to the run's folder."""
    size = sum(file["size_bytes"] for file in files)
    ended = {"ended_at": utc_now(), "renewed_at": None}
    return _write(
        session,
        artifact_id,
        attempt,
        state=ArtifactState.FINISHED,
        folder=folder,
        files=files,
        size_bytes=size,
        **ended,
    )


def fail_artifact(session: Session, artifact_id: int, *, attempt: int, reason: ReasonKind, detail: str) -> bool:
    """Write down why an artifact could not be made, unless another attempt has it."""
    ended = {"ended_at": utc_now(), "renewed_at": None}
    return _write(
        session, artifact_id, attempt, state=ArtifactState.FAILED, reason=reason, reason_detail=detail, **ended
    )


def put_artifact_back(session: Session, artifact_id: int, *, attempt: int) -> None:
    """Let another worker make an artifact whose worker leaves or is lost; a few times, then it has failed."""
    if attempt >= MOST_ATTEMPTS:
        fail_artifact(session, artifact_id, attempt=attempt, reason=ReasonKind.WORKER_LOST, detail="")
    elif _write(session, artifact_id, attempt, state=ArtifactState.QUEUED, renewed_at=None):
        enqueue(TASK_OF[get_artifact(session, artifact_id).kind], artifact_id=artifact_id)


def _write(session: Session, artifact_id: int, attempt: int, **values: Any) -> bool:  # noqa: ANN401 - column values
    """Write to an artifact if this attempt still holds it."""
    written = session.exec(
        update(Artifact)
        .where(
            col(Artifact.id) == artifact_id,
            col(Artifact.state) == ArtifactState.RUNNING,
            col(Artifact.attempt) == attempt,
        )
        .values(**values)
    )
    return written.rowcount == 1


def queued_artifacts(session: Session) -> Sequence[Artifact]:
    """Return the artifacts that wait to be made."""
    return session.exec(select(Artifact).where(Artifact.state == ArtifactState.QUEUED)).all()


def claimed_artifacts(session: Session) -> Sequence[Artifact]:
    """Return the artifacts that a worker holds."""
    return session.exec(select(Artifact).where(Artifact.state == ArtifactState.RUNNING)).all()
