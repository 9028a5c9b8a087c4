"""Base models that runs start from."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.api.errors import documented
from app.api.once import once
from app.api.paging import Cursor, Page, cut
from app.api.types import MOST_LISTED, Id, Limit, Reply
from app.domain import approvals, registry
from app.domain.model_dangers import DangerKind
from app.domain.models import ModelState
from app.web.deps import ReadSession, WriteSession

router = APIRouter(prefix="/models", tags=["models"])
proposals = APIRouter(tags=["models"])  # beside them: `proposal` is no id


class ModelReply(Reply):
    """A base model."""

    id: int
    name: str
    """What a recipe calls it."""
    source: str
    """A folder on the server, or a hub id."""
    template: str
    """xtuner's name of its prompt template."""
    architecture: str
    parameters: int
    size_bytes: int
    state: ModelState
    """Runs can start from a model that is `ready`."""
    reason: str
    """Why it could not be prepared."""


class ModelList(Page):
    """All registered models, by name."""

    models: list[ModelReply]


class NewModel(BaseModel):
    """A model to register."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    source: Annotated[str, Field(max_length=4_096, examples=["/models/internlm2-chat-1_8b"])]
    """A folder on the server in Hugging Face form, which is linked and never copied, or a hub id in its cache."""
    name: Annotated[str, Field(max_length=200, examples=["internlm2-chat-1_8b"])] = ""
    """What recipes call it; the folder's own name when empty."""
    template: Annotated[str, Field(max_length=200, examples=["internlm2_chat"])] = ""
    """xtuner's name of the prompt template; proposed from the model's config when empty."""
    approve: Annotated[str, Field(max_length=64)] = ""
    """The hash of the folder's files that could run code, as `GET /models/review` shows them: you have looked at
    them. A folder without such files needs none."""


class DangerReply(Reply):
    """One file of a model's folder that could run code."""

    file: str
    kind: DangerKind
    size_bytes: int
    sha256: str
    reason: str


class ReviewReply(Reply):
    """What could run code in a model's folder, and whether an admin has approved it."""

    source: str
    sha256: str
    """Of all these files, by name and content: what is approved. Empty where there are none."""
    is_needed: bool
    """An admin still has to look; no run starts from it before."""
    files: list[DangerReply]


class NewApproval(BaseModel):
    """An admin has looked at these files."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    source: Annotated[str, Field(max_length=4_096, examples=["/models/internlm2-chat-1_8b"])]
    """A folder on the server, or a hub id in its cache; registered or not."""
    sha256: Annotated[str, Field(max_length=64)]
    """The hash that was shown."""


class ApprovalReply(Reply):
    """What an admin has approved."""

    sha256: str
    source: str
    files: list[dict[str, JsonValue]]
    approved_by: str
    approved_at: datetime


class ApprovalList(Reply):
    """All that is approved, the newest first."""

    approvals: list[ApprovalReply]


class ModelProposal(Reply):
    """What is at a source."""

    folder: str
    name: str
    """What it would be called."""
    template: str
    """The prompt template that fits."""
    architecture: str
    parameters: int
    size_bytes: int


@router.get("", summary="List models")
def list_models(session: ReadSession, *, cursor: Cursor = "", limit: Limit = MOST_LISTED) -> ModelList:
    """Return the models that recipes can name, by name."""
    models = [ModelReply.model_validate(model) for model in registry.list_models(session)]
    in_order = sorted(models, key=_place)
    page, more = cut(in_order, "models", cursor=cursor, limit=limit, place=_place)
    return ModelList(models=page, next_cursor=more)


def _place(model: ModelReply) -> tuple[str, int]:
    return model.name.lower(), model.id


@router.post("", status_code=201, summary="Register a model", responses=documented(409))
@once
def add_model(request: Request, model: NewModel, session: WriteSession, response: Response) -> ModelReply:
    """
    Register a model; takes an admin. One that must be laid out anew is `preparing` at first.

    A folder with files that could run code is refused at `approve` until their hash is given there.
    """
    approval = registry.Approval(model.approve, by=request.state.user.name) if model.approve else None
    added = registry.register_model(
        session, source=model.source, name=model.name, template=model.template, approval=approval
    )
    response.headers["Location"] = f"/api/v1/models/{added.id}"
    return ModelReply.model_validate(added)


@router.get("/review", summary="Look at a folder's files that could run code")
def review_source(session: ReadSession, source: Annotated[str, Query(max_length=4_096)]) -> ReviewReply:
    """Return them with their hashes and what is to be said of each; takes an admin."""
    looked_at = approvals.review(session, registry.look_at(source).folder)
    files = [
        DangerReply(
            file=each.file, kind=each.kind, size_bytes=each.size_bytes, sha256=each.sha256, reason=str(each.reason)
        )
        for each in looked_at.dangers
    ]
    return ReviewReply(source=source, sha256=looked_at.sha256, is_needed=looked_at.is_needed, files=files)


@router.get("/approvals", summary="List what is approved")
def list_approvals(session: ReadSession) -> ApprovalList:
    """Return every approval, the newest first."""
    return ApprovalList(approvals=[ApprovalReply.model_validate(each) for each in approvals.list_approvals(session)])


@router.post("/approvals", status_code=201, summary="Approve a folder's files", responses=documented(409))
def approve_files(request: Request, new: NewApproval, session: WriteSession) -> ApprovalReply:
    """Approve the files as they were shown; takes an admin. 409 where they are others by now."""
    folder = registry.look_at(new.source).folder
    approval = approvals.approve(
        session, folder, sha256=new.sha256, source=new.source.strip(), by=request.state.user.name
    )
    return ApprovalReply.model_validate(approval)


@router.delete("/approvals/{sha256}", status_code=204, summary="Take an approval back", responses=documented(404))
def revoke_approval(
    request: Request, session: WriteSession, sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
) -> None:
    """Let no run start from such a folder any more; takes an admin."""
    approvals.revoke(session, sha256, by=request.state.user.name)


@router.get("/{model_id}", summary="Look at a model", responses=documented(404))
def get_model(model_id: Id, session: ReadSession) -> ModelReply:
    """Return a model."""
    return ModelReply.model_validate(registry.get_model(session, model_id))


@router.delete("/{model_id}", status_code=204, summary="Remove a model", responses=documented(404, 409))
def remove_model(model_id: Id, session: WriteSession) -> None:
    """Forget a model that no run was made from; takes an admin. The folder that was registered stays."""
    registry.remove_model(session, model_id)


@proposals.get("/model-proposal", summary="Look at what could be registered")
def propose_model(
    source: Annotated[str, Query(min_length=1, max_length=4_096, examples=["/models/internlm2-chat-1_8b"])],
) -> ModelProposal:
    """Say what is in a folder of the server or behind a hub id, and which template fits; takes an admin."""
    found = registry.look_at(source)
    facts = found.facts
    return ModelProposal(
        folder=str(found.folder),
        name=found.name,
        template=facts.template,
        architecture=facts.architecture,
        parameters=facts.parameters,
        size_bytes=facts.size_bytes,
    )
