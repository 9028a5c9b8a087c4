"""Checkpoints and what is made from them."""

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session, select

from app.domain import claims
from app.domain.errors import ConflictError, NotFoundError
from app.domain.importing.limits import problem_of_base, problem_of_files
from app.domain.messages import message
from app.domain.models import Artifact, ArtifactKind, ArtifactState, Checkpoint, ReasonKind, Run
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
    _check_imported(checkpoint, kind)
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


def _check_imported(checkpoint: Checkpoint, kind: ArtifactKind) -> None:
    problem = problem_of_files(checkpoint.run, has_adapter=bool(checkpoint.adapter))
    if problem is None and kind is ArtifactKind.MERGED:
        problem = problem_of_base(checkpoint.run)
    if problem is not None:
        raise ConflictError(problem)


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
    return claims.claim(session, Artifact, artifact_id)


def renew_artifact(session: Session, artifact_id: int, *, attempt: int) -> bool:
    """Keep a claim on an artifact; False when it is no longer this attempt's."""
    return claims.renew(session, Artifact, artifact_id, attempt=attempt)


def finish_artifact(
    session: Session, artifact_id: int, *, attempt: int, folder: str, files: list[dict[str, Any]]
) -> bool:
    """Write down an artifact's files, unless another attempt has it; `folder` is relative to the run's folder."""
    size = sum(file["size_bytes"] for file in files)
    return claims.finish(session, Artifact, artifact_id, attempt=attempt, folder=folder, files=files, size_bytes=size)


def fail_artifact(session: Session, artifact_id: int, *, attempt: int, reason: ReasonKind, detail: str) -> bool:
    """Write down why an artifact could not be made, unless another attempt has it."""
    return claims.fail(session, Artifact, artifact_id, attempt=attempt, reason=reason, detail=detail)


def put_artifact_back(session: Session, artifact_id: int, *, attempt: int) -> None:
    """Let another worker make an artifact whose worker leaves or is lost; a few times, then it has failed."""
    if claims.put_back(session, Artifact, artifact_id, attempt=attempt):
        enqueue(TASK_OF[get_artifact(session, artifact_id).kind], artifact_id=artifact_id)


def queued_artifacts(session: Session) -> Sequence[Artifact]:
    """Return the artifacts that wait to be made."""
    return claims.queued(session, Artifact)


def claimed_artifacts(session: Session) -> Sequence[Artifact]:
    """Return the artifacts that a worker holds."""
    return claims.claimed(session, Artifact)
