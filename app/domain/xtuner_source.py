"""
xtuner's own source, read by `ast` and never run: where it is, and what its assignments say.

Understands plain values, lists of them, arithmetic, and names given to such values earlier in
the file. Everything else is `UNKNOWN`, and so is a list that would be too long when written out: its items may
be names of lists, each of which names others.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from app.domain.errors import UnavailableError
from app.domain.messages import message


def package_folder() -> Path:
    """
    Return the folder that xtuner is installed in.

    Raises:
        UnavailableError: it is not installed where the web server runs.
    """
    spec = find_spec("xtuner")  # finds a top-level package without importing it
    if spec is None or spec.origin is None:
        raise UnavailableError(
            message("xtuner is not installed where this page comes from, so its configs cannot be listed here.")
        )
    return Path(spec.origin).parent


UNKNOWN = object()
MOST = 1e18  # larger numbers are none of a config's
MOST_LEAVES = 10_000  # of a list with all lists in it; a config's have dozens
CHARACTERS_A_LEAF = 100  # so much of a text in a list counts as one more
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class _List(list[Any]):
    """A list that knows how long it is when everything in it is written out."""

    leaves = 1


class PlainConfig:
    """The assignments of a config: each name's expression, and its value where that is plain."""

    def __init__(self, tree: ast.Module) -> None:
        """Read a file's assignments in their order."""
        self.expressions: dict[str, ast.expr] = {}
        self._values: dict[str, Any] = {}
        for statement in tree.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                name = statement.targets[0].id
                self.expressions[name] = statement.value
                self._values[name] = self.evaluate(statement.value)
            elif isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
                name = statement.target.id
                self._values[name] = self._combine(statement.op, self._values.get(name), self.evaluate(statement.value))

    def value(self, name: str) -> Any:  # noqa: ANN401 - whatever the config says
        """Return a name's plain value; None where it has none."""
        found = self._values.get(name)
        return None if found is UNKNOWN else found

    def evaluate(self, node: ast.expr) -> Any:  # noqa: ANN401, PLR0911 - whatever the config says; one return a kind
        """Return the value of a plain expression; `UNKNOWN` for any other."""
        match node:
            case ast.Constant(value=value):
                return UNKNOWN if isinstance(value, int) and value > MOST else value
            case ast.Name(id=name):
                return self._values.get(name, UNKNOWN)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return _list_of([self.evaluate(item) for item in items])
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._combine(ast.Sub(), 0, self.evaluate(operand))
            case ast.BinOp(left=left, op=operation, right=right):
                return self._combine(operation, self.evaluate(left), self.evaluate(right))
            case ast.Attribute(value=ast.Name(id="SYSTEM_TEMPLATE"), attr=name):
                return _system_texts().get(name, UNKNOWN)
        return UNKNOWN

    @staticmethod
    def _combine(operation: ast.operator, left: Any, right: Any) -> Any:  # noqa: ANN401 - numbers, or not
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        calculate = _OPERATORS.get(type(operation))
        if not numbers or calculate is None or (right == 0 and calculate is operator.truediv):
            return UNKNOWN
        if max(abs(left), abs(right)) > MOST:  # a file that is not ours may multiply until no memory is left
            return UNKNOWN
        return calculate(left, right)

    def arguments(self, name: str) -> dict[str, ast.expr]:
        """Return the arguments of the call that a name is given: `dict(type=…, …)`."""
        return arguments_of(self.expressions.get(name))


def _list_of(values: list[Any]) -> Any:  # noqa: ANN401 - a list, or UNKNOWN
    """Return values as one list; `UNKNOWN` where one of them is, or all together are too many."""
    if any(value is UNKNOWN for value in values):
        return UNKNOWN
    found = _List(values)
    found.leaves = 1 + sum(map(_leaves, values))
    return found if found.leaves <= MOST_LEAVES else UNKNOWN


def _leaves(value: object) -> int:
    if isinstance(value, _List):
        return value.leaves
    return 1 + len(value) // CHARACTERS_A_LEAF if isinstance(value, str | bytes) else 1


def arguments_of(node: ast.expr | None) -> dict[str, ast.expr]:
    """Return the named arguments of a call; nothing of anything else."""
    if not isinstance(node, ast.Call):
        return {}
    return {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg is not None}


def type_of(arguments: Mapping[str, ast.expr]) -> str:
    """Return the last name of a `type=` argument, which may be quoted."""
    return ast.unparse(arguments["type"]).strip("'\"").rpartition(".")[2] if "type" in arguments else ""


@cache
def _system_texts() -> dict[str, str]:
    """Read xtuner's named system texts out of its source."""
    tree = ast.parse((package_folder() / "utils" / "templates.py").read_text("utf-8"))
    texts: dict[str, str] = {}
    for name, node in PlainConfig(tree).arguments("SYSTEM_TEMPLATE").items():
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts[name] = node.value
    return texts
