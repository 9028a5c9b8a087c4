"""Checkpoints: what a run saved, and asking for an adapter or a merged model of it."""

from datetime import datetime

from fastapi import APIRouter, Response

from app.api.artifacts import ArtifactReply, artifact_reply
from app.api.compare import ScoreReply, score_reply
from app.api.errors import documented
from app.api.once import once
from app.api.types import Id, Reply
from app.domain import checkpoints
from app.domain.matrix import Matrix
from app.domain.models import ArtifactKind, Run
from app.domain.runs import id_of
from app.web.deps import WriteSession

router = APIRouter(prefix="/checkpoints", tags=["checkpoints"])


class CheckpointReply(Reply):
    """What a run saved at an iteration."""

    id: int
    run_id: int
    iteration: int
    """0 is the untuned base model, which has no files."""
    updates: int
    size_bytes: int
    is_deleted: bool
    """Retention deleted its files; its answers stay."""
    is_pinned: bool
    """Retention leaves its files."""
    is_resumable: bool
    """Its run can go on from here."""
    is_answered: bool
    identity_nll: float | None
    """Mean negative log-likelihood, in nats a token, of held-out identity pairs; null where it was not measured."""
    general_nll: float | None
    """The same of held-out general pairs."""
    is_kept: bool
    """The advice for its run is to keep it."""
    score: ScoreReply
    artifacts: list[ArtifactReply]
    created_at: datetime


@router.post("/{checkpoint_id}/convert", status_code=202, summary="Make an adapter", responses=documented(404, 409))
@once
def convert_checkpoint(checkpoint_id: Id, session: WriteSession, response: Response) -> ArtifactReply:
    """Ask for the adapter in Hugging Face form; one that is there or on its way is returned as it is."""
    return _requested(session, checkpoint_id, ArtifactKind.ADAPTER, response)


@router.post("/{checkpoint_id}/merge", status_code=202, summary="Make a merged model", responses=documented(404, 409))
@once
def merge_checkpoint(checkpoint_id: Id, session: WriteSession, response: Response) -> ArtifactReply:
    """Ask for the whole model with the adapter in it; one that is there or on its way is returned as it is."""
    return _requested(session, checkpoint_id, ArtifactKind.MERGED, response)


@router.put("/{checkpoint_id}/pin", status_code=204, summary="Pin a checkpoint", responses=documented(404, 409))
def pin_checkpoint(checkpoint_id: Id, session: WriteSession) -> None:
    """Keep a checkpoint's files from retention."""
    checkpoints.pin_checkpoint(session, checkpoint_id, is_pinned=True)


@router.delete("/{checkpoint_id}/pin", status_code=204, summary="Unpin a checkpoint", responses=documented(404))
def unpin_checkpoint(checkpoint_id: Id, session: WriteSession) -> None:
    """Leave a checkpoint's files to retention again."""
    checkpoints.pin_checkpoint(session, checkpoint_id, is_pinned=False)


def _requested(session: WriteSession, checkpoint_id: int, kind: ArtifactKind, response: Response) -> ArtifactReply:
    artifact = checkpoints.request_artifact(session, checkpoint_id, kind)
    response.headers["Location"] = f"/api/v1/artifacts/{artifact.id}"
    return artifact_reply(artifact)


def checkpoint_replies(run: Run, matrix: Matrix) -> list[CheckpointReply]:
    """Return a run's checkpoints by iteration, each with its score out of the run's matrix."""
    columns = {column.checkpoint_id: column for column in matrix.runs[0].checkpoints}
    return [
        CheckpointReply(
            id=id_of(checkpoint),
            run_id=checkpoint.run_id,
            iteration=checkpoint.iteration,
            updates=checkpoint.updates,
            size_bytes=checkpoint.size_bytes,
            is_deleted=checkpoint.deleted_at is not None,
            is_pinned=checkpoint.is_pinned,
            is_resumable=bool(checkpoint.state_file),
            is_answered=checkpoint.answered_seconds is not None,
            identity_nll=checkpoint.identity_nll,
            general_nll=checkpoint.general_nll,
            is_kept=columns[id_of(checkpoint)].is_kept,
            score=score_reply(columns[id_of(checkpoint)].score),
            artifacts=[artifact_reply(artifact) for artifact in checkpoint.artifacts],
            created_at=checkpoint.created_at,
        )
        for checkpoint in run.checkpoints
        if id_of(checkpoint) in columns
    ]
