"""Presets: recipes to start from."""

from fastapi import APIRouter

from app.api.types import Reply
from app.domain.presets import PRESETS
from app.domain.recipes import Recipe

router = APIRouter(prefix="/presets", tags=["presets"])


class PresetReply(Reply):
    """A recipe under a title."""

    key: str
    title: str
    summary: str
    recipe: Recipe
    """Ready for `POST /runs` once its model is registered."""


class PresetList(Reply):
    """All presets."""

    presets: list[PresetReply]


@router.get("", summary="List presets")
def list_presets() -> PresetList:
    """Return the recipes that the form offers to start from."""
    return PresetList(presets=[PresetReply.model_validate(preset) for preset in PRESETS])
