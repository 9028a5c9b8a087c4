"""
Whether a chat template does only what chat templates do: walk over messages and write them down.

A chat template is a program in Jinja, which whoever serves a model runs. Temper runs none; it reads them, and hands
them on with what it exports. What is more than loops, conditions and a short list of functions is odd, and an admin
has to have looked at it. Reads the template's syntax and never renders it. Does not prove that an odd one is harmful.
"""

import re
from collections.abc import Iterator

from jinja2 import Environment, TemplateError, nodes

from app.domain.messages import Message, message

LONGEST = 1 << 20  # characters; the longest in the wild have a hundredth of it
_TRAINING_MARK = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")  # transformers' own tag, which writes nothing

_PLAIN = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.Assign, nodes.AssignBlock),
    *(nodes.Macro, nodes.Break, nodes.Continue),
    *(nodes.Name, nodes.NSRef, nodes.Const, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword),
    *(nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos),
    *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Concat, nodes.Slice),
    *(nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Test, nodes.Call),
)
_FUNCTIONS = frozenset({"raise_exception", "range", "namespace", "strftime_now", "dict"})
_METHODS = frozenset(
    (
        *("strip", "lstrip", "rstrip", "split", "rsplit", "startswith", "endswith", "upper", "lower", "title"),
        *("capitalize", "items", "keys", "values", "get", "replace", "count", "find", "append"),
    )
)
_FILTERS = frozenset(
    (
        *("trim", "tojson", "length", "count", "upper", "lower", "capitalize", "title", "join", "list", "string"),
        *("int", "first", "last", "default", "d", "replace", "indent", "items", "dictsort", "unique", "sort", "safe"),
    )
)
_TESTS = frozenset(
    (
        *("defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number", "integer", "boolean"),
        *("true", "false", "eq", "equalto", "==", "ne", "!=", "in", "gt", "lt", "ge", "le", "odd", "even"),
    )
)


def odd_parts(template: str) -> list[Message]:
    """Return what a template does beyond writing messages down, each in a sentence; nothing of a plain one."""
    if len(template) > LONGEST:
        return [message("Its chat template is longer than any that is known.")]
    try:
        tree = Environment(extensions=["jinja2.ext.loopcontrols"], autoescape=True).parse(
            _TRAINING_MARK.sub("", template)
        )
        found = list(dict.fromkeys(_odd(tree)))
    except (TemplateError, RecursionError, OverflowError):
        return [message("Its chat template cannot be read.")]
    return [message("Its chat template uses {what}.", what=what) for what in found]


def _odd(tree: nodes.Template) -> Iterator[str]:
    macros = frozenset(macro.name for macro in tree.find_all(nodes.Macro))
    for node in _all(tree):
        if not isinstance(node, _PLAIN):
            yield type(node).__name__.lower()
        else:
            yield from _odd_in(node, macros)


def _all(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        yield from _all(child)


def _odd_in(node: nodes.Node, macros: frozenset[str]) -> Iterator[str]:
    match node:
        case nodes.Getattr(attr=name) | nodes.Name(name=name) if name.startswith("_") or "__" in name:
            yield name
        case nodes.Const(value=str() as text) if _may_become_a_name(text):
            yield repr(text)
        case nodes.Filter(name=name) if name not in _FILTERS:
            yield f"|{name}"
        case nodes.Test(name=name) if name not in _TESTS:
            yield f"is {name}"
        case nodes.Call(node=called) if not _is_known(called, macros):
            yield f"{_name_of(called)}(…)"


def _may_become_a_name(text: str) -> bool:
    """Whether a text is part of what reaches into Python's own objects: `__class__`, however it is put together."""
    return "__" in text or text.startswith("_") or text.endswith("_") or "%c" in text


def _is_known(called: nodes.Node, macros: frozenset[str]) -> bool:
    match called:
        case nodes.Name(name=name):
            return name in _FUNCTIONS or name in macros
        case nodes.Getattr(attr=name):
            return name in _METHODS
    return False


def _name_of(called: nodes.Node) -> str:
    match called:
        case nodes.Name(name=name) | nodes.Getattr(attr=name):
            return str(name)
    return "…"
