"""
The recipe card: one file that holds all of a run, opens without a network, and starts it again.

Everything it needs is in it; it asks for nothing and runs nothing, and a policy of its own says so.
The only data block is the recipe.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from markupsafe import Markup
from pydantic import BaseModel
from sqlmodel import Session

from app.domain.card_files import BLOCK_ID, BLOCK_TYPE, recipe_block
from app.domain.cards import Card, read_card
from app.domain.mixes import identity_of
from app.domain.recipes import Method, Pair, Recipe
from app.web import i18n
from app.web.assets import STATIC_FOLDER
from app.web.card_charts import BehaviourChart, LossChart, behaviour_chart, loss_chart
from app.web.compare_lines import Layout, lay_out
from app.web.compare_query import CompareQuery
from app.web.deps import Id, ReadSession
from app.web.formats import number, scientific
from app.web.recipe_settings import CHOICE_WORDS, SWITCH_WORDS, Setting, setting_or_none
from app.web.render import render_text

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
ICONS = ("check", "flag", "good", "keep", "leaking", "not-learnt", "parrot", "same", "warning")
_SYMBOL = re.compile(r'<symbol id="([\w-]+)".*?</symbol>', re.DOTALL)
_DOCUMENT = Markup("""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="Temper">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<svg hidden>{symbols}</svg>
{body}
<script type="{block_type}" id="{block_id}">
{recipe}
</script>
</body>
</html>
""")

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class CardPage:
    """What the card's body shows."""

    card: Card
    recipe: Recipe
    layout: Layout
    loss: LossChart | None
    behaviour: BehaviourChart | None
    end: int
    """The iteration at the right edge of both curves."""
    taught: Sequence[Pair]
    """The identity pairs, filled in."""
    settings_shown: Sequence[tuple[Setting, str]]
    recipe_text: str
    """The recipe as it is in the data block, to read."""


@router.get("/runs/{run_id}/card.html", name="cards.show")
def download_card(request: Request, run_id: Id, session: ReadSession) -> Response:
    """Give a run's recipe card, in the reader's language."""
    return card_file(request, session, run_id)


def card_file(request: Request, session: Session, run_id: int) -> Response:
    """Return a run's card as a file to keep."""
    headers = {"Content-Disposition": f'attachment; filename="temper-run-{run_id}.html"', "Vary": "Accept-Language"}
    return Response(card_document(request, session, run_id), media_type="text/html; charset=utf-8", headers=headers)


def card_document(request: Request, session: Session, run_id: int) -> str:
    """Write a run's card."""
    card = read_card(session, run_id)
    recipe = card.compared.recipe
    page = CardPage(
        card=card,
        recipe=recipe,
        layout=lay_out(CompareQuery(runs=(run_id,)), card.matrix, ()),
        loss=loss_chart(card.metrics),
        behaviour=behaviour_chart(card.compared.checkpoints),
        end=max(card.run.iterations, *(metric.iteration for metric in card.metrics), 1),
        taught=identity_of(recipe.mix),
        settings_shown=list(_settings(recipe)),
        recipe_text=recipe.model_dump_json(indent=2),
    )
    return _DOCUMENT.format(
        language=i18n.language(),
        policy=POLICY,
        title=f"{card.run.name} · Temper",
        style=Markup((STATIC_FOLDER / "card.css").read_text("utf-8")),  # noqa: S704 - our own file
        symbols=Markup(_symbols()),  # noqa: S704 - our own file
        body=Markup(render_text(request, "cards/_card.html", page)),  # noqa: S704 - a template, which escapes
        block_type=BLOCK_TYPE,
        block_id=BLOCK_ID,
        recipe=Markup(recipe_block(recipe)),  # noqa: S704 - JSON whose every angle bracket is written as an escape
    )


@cache
def _symbols() -> str:
    sprite = (STATIC_FOLDER / "icons.svg").read_text("utf-8")
    return "".join(found[0] for found in _SYMBOL.finditer(sprite) if found[1] in ICONS)


def _settings(recipe: Recipe) -> Iterator[tuple[Setting, str]]:
    """Yield every setting of how a run is trained and saved, with its value in words."""
    data = {"method": recipe.method, "training": recipe.training, "checkpoints": recipe.checkpoints}
    for path, value in _leaves(data, ""):
        known = setting_or_none(path)
        if known is not None and value is not None and not (recipe.method is Method.FULL and ".lora." in path):
            yield known, _words(value)


def _leaves(part: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, value in part.items():
        if isinstance(value, BaseModel):
            yield from _leaves({field: getattr(value, field) for field in type(value).model_fields}, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _words(value: Any) -> str:  # noqa: ANN401 - any setting's
    if isinstance(value, bool):
        state = "on" if value else "off"
        return i18n.gettext(SWITCH_WORDS[state])
    if isinstance(value, StrEnum):
        return i18n.gettext(CHOICE_WORDS.get(value, value.value))
    if isinstance(value, float):
        return scientific(value)
    return number(value) if isinstance(value, int) else str(value)
