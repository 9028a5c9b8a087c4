"""Artifacts on pages: ask for one, and take its files home."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from app.domain.checkpoints import get_checkpoint, pin_checkpoint, request_artifact
from app.domain.downloads import open_artifact
from app.domain.models import ArtifactKind
from app.web.deps import Id, ReadSession, WriteSession
from app.web.downloads import send_archive, send_file

router = APIRouter(include_in_schema=False)


@router.post("/checkpoints/{checkpoint_id}/artifacts", name="artifacts.request")
def ask_for_artifact(checkpoint_id: Id, kind: Annotated[ArtifactKind, Form()], session: WriteSession) -> Response:
    """Ask for an adapter or a merged model, and show the run again."""
    request_artifact(session, checkpoint_id, kind)
    run_id = get_checkpoint(session, checkpoint_id).run_id
    return RedirectResponse(f"/runs/{run_id}#run-checkpoints", status_code=303)


@router.post("/checkpoints/{checkpoint_id}/pin", name="checkpoints.pin")
def pin(checkpoint_id: Id, session: WriteSession, *, is_pinned: Annotated[bool, Form()] = False) -> Response:
    """Keep a checkpoint's files from retention, or leave them to it again; show the run again."""
    checkpoint = pin_checkpoint(session, checkpoint_id, is_pinned=is_pinned)
    return RedirectResponse(f"/runs/{checkpoint.run_id}#run-checkpoints", status_code=303)


@router.get("/artifacts/{artifact_id}/download", name="artifacts.download")
def download_artifact(artifact_id: Id, session: ReadSession) -> Response:
    """Send all files of an artifact as one archive."""
    return send_archive(open_artifact(session, artifact_id))


@router.get("/artifacts/{artifact_id}/files/{name}", name="artifacts.file")
def download_file(artifact_id: Id, name: str, session: ReadSession) -> Response:
    """Send one file of an artifact."""
    return send_file(open_artifact(session, artifact_id).file(name))
