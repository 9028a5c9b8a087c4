"""The slider between identity and all the rest: where it stands, and what n and m it comes to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import Session

from app.domain.errors import UnavailableError
from app.domain.loss_shares import mix_for_share
from app.domain.models import Model
from app.domain.prompt_templates import prompt_template
from app.domain.recipes import Recipe
from app.domain.registry import find_model
from app.domain.token_cache import count_mix
from app.domain.token_forecasts import TokenForecast
from app.domain.tokenising import load_tokenizer
from app.web.forms import check_form

LEAST, MOST = 1, 99  # percent: at the ends one of the two would be gone
PARTS = 3


@dataclass(frozen=True)
class Amounts:
    """Copies of both, and what share of the loss tokens they give the identity."""

    n: int
    m: int
    share: float

    @property
    def percent(self) -> int:
        """The share as the slider has it."""
        return min(max(round(100 * self.share), LEAST), MOST)

    def __str__(self) -> str:
        """Write it for a hidden field."""
        return f"{self.n}:{self.m}:{self.share:.4f}"


@dataclass(frozen=True)
class Dilution:
    """Where the slider stands, and where it stood when the form was opened."""

    before: Amounts
    after: Amounts

    @property
    def is_moved(self) -> bool:
        """Whether n or m is another than it was."""
        return (self.before.n, self.before.m) != (self.after.n, self.after.m)


def build_dilution(recipe: Recipe | None, tokens: TokenForecast | None, diluted_from: str) -> Dilution | None:
    """
    Say where the slider stands; None where there is nothing to weigh against each other.

    Args:
        diluted_from: what the form had at first, as it sent it.
    """
    if recipe is None or tokens is None:
        return None
    identity, *rest = (source.loss_tokens for source in tokens.sources)
    if not identity or not any(rest):
        return None
    after = Amounts(recipe.mix.identity_count, recipe.mix.general_count, identity / (identity + sum(rest)))
    return Dilution(_amounts(diluted_from) or after, after)


def _amounts(text: str) -> Amounts | None:
    parts = text.split(":")
    try:
        n, m, share = int(parts[0]), int(parts[1]), float(parts[2])
    except (ValueError, IndexError):
        return None
    return Amounts(n, m, share) if 0 <= share <= 1 and n >= 0 and m >= 0 and len(parts) == PARTS else None


def dilute_data(session: Session, data: dict[str, Any], percent: str) -> dict[str, Any]:
    """Return a form's data with n and m for a wanted share in percent; unchanged where that cannot be had."""
    recipe = check_form(session, data).recipe
    model = find_model(session, recipe.model) if recipe else None
    if recipe is None or model is None or not percent.isdecimal() or not LEAST <= int(percent) <= MOST:
        return data
    mix = _mix_for(recipe, model, int(percent) / 100)
    old = data.get("mix")
    names = ("identity_count", "general_count", "identity_share", "general_share")
    return {**data, "mix": {**(old if isinstance(old, Mapping) else {}), **{name: mix[name] for name in names}}}


def _mix_for(recipe: Recipe, model: Model, share: float) -> dict[str, Any]:
    mix = recipe.mix
    try:
        tokenizer, template = load_tokenizer(Path(model.path)), prompt_template(model.template)
        counts = count_mix(mix, tokenizer=tokenizer, template=template, waits=False)
        mix = mix_for_share(mix, counts, max_length=recipe.training.max_length, share=share)
    except UnavailableError:
        pass  # the slider is not shown where tokens are not counted, or not yet
    return mix.model_dump(mode="json")
