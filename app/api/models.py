"""Base models that runs start from."""

from fastapi import APIRouter

from app.api.types import Reply
from app.domain.models import Model, ModelState
from app.web.deps import ReadSession
from sqlmodel import col, select

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
    reason: str
    """Why it could not be prepared."""


class ModelList(Reply):
    """All registered models, by name."""

    models: list[ModelReply]


@router.get("", summary="List models")
def list_models(session: ReadSession) -> ModelList:
    """Return the models that recipes can name."""
    found = session.exec(select(Model).order_by(col(Model.name))).all()
    return ModelList(models=[ModelReply.model_validate(model) for model in found])
