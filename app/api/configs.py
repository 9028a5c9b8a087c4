"""The configs that xtuner ships, as recipes to start from; and the config that a recipe would be trained with."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import PlainTextResponse
from pydantic import JsonValue

from app.api.errors import documented
from app.api.paging import Cursor, Page, cut
from app.api.runs import PostedRecipe
from app.api.types import Limit, Reply
from app.domain import xtuner_configs
from app.domain.errors import InvalidError
from app.domain.mixes import count_rows
from app.domain.recipe_checks import check_filled
from app.domain.registry import find_model
from app.domain.xtuner_config import render_config
from app.web.config_preview import DATA_FILE, RUN_FOLDER, device_here
from app.web.deps import ReadSession

router = APIRouter(prefix="/configs", tags=["configs"])

ConfigName = Annotated[str, Path(max_length=200, examples=["internlm2_chat_7b_qlora_alpaca_e3"])]


class ConfigList(Page):
    """Names of configs."""

    names: list[str]
    total: int


class ConfigReply(Reply):
    """What a recipe can take of one of xtuner's configs."""

    name: str
    base_model: str
    """Hub id of the model that the config was written for."""
    values: dict[str, JsonValue]
    """By the recipe's own names: lay them over a preset."""
    notes: list[str]
    """What a recipe has no setting for."""


@router.get("", summary="List xtuner's configs", responses=documented(503))
def list_configs(
    *,
    q: Annotated[str, Query(max_length=200, description="A part of the name.")] = "",
    cursor: Cursor = "",
    limit: Limit = 25,
) -> ConfigList:
    """Return the names of the configs that xtuner ships."""
    names = xtuner_configs.list_names(q)
    page, more = cut(names, "configs", q, cursor=cursor, limit=limit, place=lambda name: (name,))
    return ConfigList(names=page, total=len(names), next_cursor=more)


@router.get("/{name}", summary="Read one of xtuner's configs", responses=documented(404, 503))
def get_config(name: ConfigName) -> ConfigReply:
    """Return a config's values under the names that a recipe has for them; it is read, and never run."""
    config = xtuner_configs.read_config(name)
    notes = [str(note) for note in config.notes]
    return ConfigReply(name=config.name, base_model=config.base_model, values=config.values, notes=notes)


@router.post("", summary="Render a recipe's config", response_class=PlainTextResponse)
def render_recipe(recipe: PostedRecipe, session: ReadSession) -> PlainTextResponse:
    """Return the xtuner config that a recipe would be trained with; nothing is stored."""
    if problems := list(check_filled(recipe.mix)):
        raise InvalidError(problems)
    model = find_model(session, recipe.model)
    rendered = render_config(
        recipe,
        model_path=model.path if model else "?",
        template=model.template if model else "default",
        run_folder=RUN_FOLDER,
        data_file=DATA_FILE,
        rows=count_rows(recipe.mix).total,
        device=device_here(),
    )
    return PlainTextResponse(rendered.text)
