"""Base models that runs start from."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.errors import documented
from app.api.once import once
from app.api.paging import Cursor, Page, cut
from app.api.types import MOST_LISTED, Id, Limit, Reply
from app.domain import registry
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
def add_model(model: NewModel, session: WriteSession, response: Response) -> ModelReply:
    """Register a model; takes an admin. One that must be laid out anew is `preparing` at first."""
    added = registry.register_model(session, source=model.source, name=model.name, template=model.template)
    response.headers["Location"] = f"/api/v1/models/{added.id}"
    return ModelReply.model_validate(added)


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
