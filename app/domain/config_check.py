"""
What a user typed stays a literal: proved of every config before it leaves.

An xtuner config is a program. Beside it the same recipe is rendered with every text of it, of its rows and of the
machine's folders put aside for a plain word; the two programs may differ in literals only. So no text, whatever is in
it, has become a name, a call or a line.
"""

import ast
from collections.abc import Mapping, Sequence

from app.domain.held_out import HeldOut
from app.domain.recipes import Pair, Probe, Recipe

WORD = "x"


class ConfigError(ValueError):
    """A config differs from its template in more than literals: a mistake of Temper's, and nothing is trained."""


def check_literals(text: str, *, plain: str) -> None:
    """
    See that a program differs from another one in its literals only.

    Raises:
        ConfigError: it does not, or is no program at all.
    """
    try:
        same = shape_of(text) == shape_of(plain)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ConfigError(f"The config cannot be read: {error}") from error
    if not same:
        raise ConfigError("The config differs from its template in more than literals.")


def check_values(text: str, values: Mapping[str, object]) -> None:
    """
    See that names of a program have the values that were meant, read back out of its text.

    Raises:
        ConfigError: one has another value, or none.
    """
    found: dict[str, object] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in values:
            found[node.targets[0].id] = ast.literal_eval(node.value)
    wrong = [name for name, value in values.items() if found.get(name) != value]
    if wrong:
        raise ConfigError(f"The config says something else than was meant of {', '.join(wrong)}.")


def shape_of(text: str) -> str:
    """Return a program's syntax tree without its literals: what is left of each is its type."""
    return ast.dump(_Blank().visit(ast.parse(text)))


class _Blank(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant(type(node.value).__name__)


def without_words(recipe: Recipe) -> Recipe:
    """Return a recipe with a plain word for each of its texts; as many of them, and every other value the same."""
    probes = tuple(Probe.model_construct(question=WORD, group=probe.group, reference="") for probe in recipe.probes)
    mix = recipe.mix.model_copy(update={"name": WORD, "system": WORD, "variables": {}})
    return recipe.model_copy(update={"name": WORD, "model": WORD, "mix": mix, "probes": probes})


def held_out_without_words(held_out: HeldOut) -> HeldOut:
    """Return held-out pairs with a plain word for each text; as many of them."""
    return HeldOut(identity=_plain(held_out.identity), general=_plain(held_out.general))


def _plain(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    return tuple(Pair.model_construct(question=WORD, answer=WORD) for _ in pairs)
