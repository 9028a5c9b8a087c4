"""Base models that runs start from."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.errors import documented
from app.api.types import Id, Reply
from app.domain import registry
from app.domain.models import ModelState
from app.web.deps import ReadSession, WriteSession

router = APIRouter(prefix="/models", tags=["models"])


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


class ModelList(Reply):
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


@router.get("", summary="List models")
def list_models(session: ReadSession) -> ModelList:
    """Return the models that recipes can name."""
    return ModelList(models=[ModelReply.model_validate(model) for model in registry.list_models(session)])


@router.post("", status_code=201, summary="Register a model")
def add_model(model: NewModel, session: WriteSession, response: Response) -> ModelReply:
    """Register a model; takes an admin. One that must be laid out anew is `preparing` at first."""
    added = registry.register_model(session, source=model.source, name=model.name, template=model.template)
    response.headers["Location"] = f"/api/v1/models/{added.id}"
    return ModelReply.model_validate(added)


@router.get("/{model_id}", summary="Look at a model", responses=documented(404))
def get_model(model_id: Id, session: ReadSession) -> ModelReply:
    """Return a model."""
    return ModelReply.model_validate(registry.get_model(session, model_id))
