"""Artifacts: adapters and merged models, and their files."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from app.api.errors import documented
from app.api.types import Id, Reply
from app.domain import checkpoints
from app.domain.downloads import open_artifact
from app.domain.models import Artifact, ArtifactKind, ArtifactState, ReasonKind
from app.domain.reasons import reason_text
from app.web.deps import ReadSession
from app.web.downloads import send_archive, send_file

router = APIRouter(prefix="/artifacts", tags=["artifacts"])


class FileReply(Reply):
    """One file of an artifact."""

    name: str
    size_bytes: int
    sha256: str


class ArtifactReply(Reply):
    """An adapter or merged model made of a checkpoint."""

    id: int
    checkpoint_id: int
    kind: ArtifactKind
    state: ArtifactState
    reason: ReasonKind | None
    reason_message: str
    files: list[FileReply]
    size_bytes: int
    created_at: datetime
    ended_at: datetime | None


@router.get("/{artifact_id}", summary="Look at an artifact", responses=documented(404))
def get_artifact(artifact_id: Id, session: ReadSession) -> ArtifactReply:
    """Return an artifact: ask again until its state is `finished` or `failed`."""
    return artifact_reply(checkpoints.get_artifact(session, artifact_id))


@router.get(
    "/{artifact_id}/download",
    summary="Take an artifact's files",
    response_class=Response,
    responses=documented(404, 409, files=("application/octet-stream", "application/x-tar")),
)
def download_artifact(
    artifact_id: Id,
    session: ReadSession,
    file: Annotated[str, Query(max_length=255, description="One file; without it, all as one tar archive.")] = "",
) -> Response:
    """Send one file, of which a part may be asked for by `Range`, or all of them as a tar archive."""
    download = open_artifact(session, artifact_id)
    return send_file(download.file(file)) if file else send_archive(download)


def artifact_reply(artifact: Artifact) -> ArtifactReply:
    """Return an artifact as the API shows it."""
    reason = str(reason_text(artifact.reason, artifact.reason_detail)) if artifact.reason else ""
    return ArtifactReply(
        id=artifact.id or 0,
        checkpoint_id=artifact.checkpoint_id,
        kind=artifact.kind,
        state=artifact.state,
        reason=artifact.reason,
        reason_message=reason,
        files=[FileReply.model_validate(file) for file in artifact.files],
        size_bytes=artifact.size_bytes,
        created_at=artifact.created_at,
        ended_at=artifact.ended_at,
    )
