"""From what a foreign config says to a recipe: what a recipe cannot hold is left at its default, and named."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from math import gcd
from reprlib import repr as shortened
from typing import Any

from pydantic import ValidationError

from app.domain.importing.found import FoundMix, FoundRun
from app.domain.importing.places import fitting
from app.domain.messages import Message, message
from app.domain.recipes import MAX_PROBES, ProbeGroup, Recipe

MOST_ROUNDS = 40  # each takes at least one value away
LONGEST_VALUE = 60
LONGEST_NAME = 120
NAMELESS = "imported"
LONGEST_ANSWER = 600  # new tokens: xtuner's own default, which its configs do not say


def recipe_from(
    found: FoundRun, mix: FoundMix, *, name: str, model: str, probes: Sequence[tuple[str, ProbeGroup]]
) -> tuple[Recipe, list[Message]]:
    """Return the recipe of a run, and a sentence for each value that it could not take."""
    data: dict[str, Any] = deepcopy(dict(found.config.values)) if found.config else {}
    called = fitting(name).strip()[:LONGEST_NAME]
    data |= {"name": called or NAMELESS, "model": model, "mix": mix.mix.model_dump(mode="json")}
    data["probes"] = [{"question": question, "group": group} for question, group in probes[:MAX_PROBES]]
    checkpoints = data.setdefault("checkpoints", {})
    checkpoints.setdefault("every", _cadence(found))
    checkpoints.setdefault("max_new_tokens", LONGEST_ANSWER)
    notes: list[Message] = []
    for _ in range(MOST_ROUNDS):
        try:
            return Recipe.model_validate(data), notes
        except ValidationError as error:
            notes += _taken_away(data, error)
    raise RuntimeError("a recipe of defaults alone is not valid")


def _cadence(found: FoundRun) -> int:
    """Return the iterations between two checkpoints: what all of them, but the last, are multiples of."""
    iterations = [each.iteration for each in found.checkpoints if each.iteration]
    return gcd(*(iterations[:-1] or iterations)) if iterations else max(1, found.iterations)


def _taken_away(data: dict[str, Any], error: ValidationError) -> Iterator[Message]:
    for each in error.errors():
        path = each["loc"]
        value = _pop(data, path)
        yield message(
            "{path} = {value} is nothing that a recipe holds: its default stands there.",
            path=".".join(map(str, path)),
            value=fitting(shortened(value))[:LONGEST_VALUE],
        )


def _pop(data: dict[str, Any], path: tuple[int | str, ...]) -> object:
    """Take the value at a path away; of one inside of a list, the whole list's entry."""
    place: Any = data
    *parents, last = path
    for part in parents:
        inner = place[part] if isinstance(place, Mapping) and part in place else None
        if isinstance(inner, list) and len(path) > 1:
            kept = [each for at, each in enumerate(inner) if at != path[path.index(part) + 1]]
            place[part] = kept
            return "…"
        if not isinstance(inner, dict):
            break
        place = inner
    if isinstance(place, dict) and last in place:
        return place.pop(last)
    return data.pop(str(path[0]), None)
