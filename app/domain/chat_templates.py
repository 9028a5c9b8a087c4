"""
Whether a chat template does only what chat templates do: walk over messages and write them down.

A chat template is a program in Jinja, which whoever serves a model runs. Temper runs none; it reads them, and hands
them on with what it exports. What is more than loops, conditions and a short list of functions is odd, and an admin
has to have looked at it. Reads the template's syntax and never renders it. Does not prove that an odd one is harmful.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, TemplateError, nodes

from app.domain.messages import Message, message

LONGEST = 1 << 20  # characters; the longest in the wild have a hundredth of it
_FRAME_PARTS = re.compile(  # by which a generator reaches into Python, without one underscore at an end
    r"(gi|cr|ag)_(frame|code|await|yieldfrom|origin)|tb_(frame|next)|f_(back|builtins|code|globals|locals|trace)"
)
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
_TRUSTED = _FUNCTIONS | {"loop"}
_GLOBALS = frozenset({"cycler", "lipsum", "joiner", "self", "caller", "super", "varargs", "kwargs"})  # Jinja's own
_DATA = frozenset({"messages", "tools", "documents"})  # what is written down; other names may stand for a token's text
_OF_A_LOOP = frozenset({"index", "index0", "revindex", "revindex0", "length", "depth", "depth0", "first", "last"})
_NOBODY = ""
_NUMBERS = (
    nodes.Sub,
    nodes.Neg,
    nodes.Pos,
    nodes.FloorDiv,
    nodes.Div,
    nodes.Compare,
    nodes.Not,
)  # of which texts know none
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


@dataclass(frozen=True)
class _Written:
    """What a template itself gives names to."""

    macros: frozenset[str]
    keys: frozenset[str]
    """Of what it puts into namespaces and objects: `{'strip': f}.strip()` calls `f`."""
    takable: frozenset[str]
    """Names that stand for nothing that was put together."""


def _odd(tree: nodes.Template) -> Iterator[str]:
    written = _written_in(tree)
    for node in _all(tree):
        if not isinstance(node, _PLAIN):
            yield type(node).__name__.lower()
        else:
            yield from _odd_name(node, written)
            yield from _odd_in(node, written)


def _all(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        yield from _all(child)


def _odd_name(node: nodes.Node, written: _Written) -> Iterator[str]:
    match node:
        case nodes.Name(name=name) if name in _GLOBALS:
            yield name
        case nodes.Name(name=name, ctx="store" | "param") if name in _TRUSTED or name in written.macros:
            yield f"{name} = …"
        case nodes.Macro(name=name) if name in _TRUSTED or _may_become_a_name(name):
            yield f"macro {name}"
        case nodes.Getattr(attr=name) | nodes.Name(name=name) if name.startswith("_") or "__" in name:
            yield name
        case nodes.Keyword(key=name) | nodes.NSRef(attr=name) if _may_become_a_name(name):
            yield name
        case nodes.Getattr(attr=name) if _FRAME_PARTS.fullmatch(name):
            yield name


def _odd_in(node: nodes.Node, written: _Written) -> Iterator[str]:
    match node:
        case nodes.Const(value=str() as text) if _may_become_a_name(text):
            yield repr(text)
        case nodes.Filter(name=name) if name not in _FILTERS:
            yield f"|{name}"
        case nodes.Filter(name=name) if not all(_is_key(value, written) for value in _attributes(node)):
            yield f"|{name}(…)"
        case nodes.Test(name=name) if name not in _TESTS:
            yield f"is {name}"
        case nodes.Call(node=called) if not _is_known(called, written):
            yield f"{_name_of(called)}(…)"
        case nodes.Call(node=called) if not _says_its_keys(node):
            yield f"{_name_of(called)}(*…)"
        case nodes.Getitem(arg=key) if not _is_key(key, written):
            yield "[…]"
        case nodes.Pair(key=key) if not isinstance(key, nodes.Const):
            yield "{…: …}"


def _may_become_a_name(text: str) -> bool:
    """Whether a text is part of what reaches into Python's own objects: `__class__`, however it is put together."""
    is_part = "__" in text or text.startswith("_") or text.endswith("_") or "%c" in text
    return is_part or any(_FRAME_PARTS.fullmatch(part) for part in text.split("."))


def _is_known(called: nodes.Node, written: _Written) -> bool:
    match called:
        case nodes.Name(name=name):
            return name in _FUNCTIONS or name in written.macros
        case nodes.Getattr(attr=name):
            return name in _METHODS and name not in written.keys
    return False


def _says_its_keys(node: nodes.Call) -> bool:
    """Whether a call spells out what it is given, so that what it puts under which name is seen."""
    is_spread = node.dyn_args is not None or node.dyn_kwargs is not None
    return not is_spread and not (_name_of(node.node) in ("dict", "namespace") and node.args)


def _name_of(called: nodes.Node) -> str:
    match called:
        case nodes.Name(name=name) | nodes.Getattr(attr=name):
            return str(name)
    return "…"


def _attributes(node: nodes.Filter) -> list[nodes.Node]:
    """Return what names an attribute to a filter: `sort(attribute=…)`, or by its place."""
    named = [each.value for each in node.kwargs if each.key == "attribute"]
    return [*named, *node.args[1:]] if node.name in ("sort", "unique", "join") else []


# ── What names stand for ───────────────────────────────────────────────────


def _written_in(tree: nodes.Template) -> _Written:
    macros = {macro.name: macro for macro in tree.find_all(nodes.Macro)}
    keys = {each.key for each in tree.find_all(nodes.Keyword)} | {each.attr for each in tree.find_all(nodes.NSRef)}
    keys |= {each.key.value for each in tree.find_all(nodes.Pair) if isinstance(each.key, nodes.Const)}
    sources: dict[str, set[str]] = {}
    for target, value in _assignments(tree, macros):
        taken = set(_taken_from(value))
        for each in _all(target):
            if isinstance(each, nodes.Name | nodes.NSRef):
                sources.setdefault(each.name, set()).update(taken)
    takable = (_DATA | sources.keys()) - _put_together(sources)
    return _Written(frozenset(macros), frozenset(map(str, keys)), frozenset(takable))


def _put_together(sources: Mapping[str, set[str]]) -> set[str]:
    """Return the names that may stand for what a template put together, or for what nobody knows."""
    users: dict[str, list[str]] = {}
    for name, taken in sources.items():
        for source in taken:
            users.setdefault(source, []).append(name)
    waiting = [source for source in users if source not in sources and source not in _DATA]
    found: set[str] = set()
    while waiting:
        new = [user for user in users.get(waiting.pop(), ()) if user not in found]
        found.update(new)
        waiting += new
    return found


def _assignments(tree: nodes.Template, macros: Mapping[str, nodes.Macro]) -> Iterator[tuple[nodes.Node, nodes.Node]]:
    for node in _all(tree):
        match node:
            case nodes.Assign(target=target, node=value) | nodes.For(target=target, iter=value):
                yield target, value
            case nodes.AssignBlock(target=target):
                yield target, node
            case nodes.Macro():
                yield from zip(node.args[len(node.args) - len(node.defaults) :], node.defaults, strict=True)
            case nodes.Call(node=nodes.Name(name=name)) if name in macros:
                yield from zip(macros[name].args, node.args, strict=False)
                yield from ((nodes.Name(each.key, "param"), each.value) for each in node.kwargs)


def _is_key(node: nodes.Node, written: _Written) -> bool:
    """Whether a value is a number, or is taken as it is from messages and texts: nothing is put together for it."""
    return written.takable.issuperset(_taken_from(node))


def _taken_from(node: nodes.Node | None) -> Iterator[str]:
    """Yield the names that a value is taken from; of one that is put together, a name that nothing has."""
    match node:
        case None | nodes.Const() | nodes.Slice():
            return
        case nodes.Name(name=name):
            yield name
        case nodes.Getitem(node=base, arg=nodes.Slice()) if not (isinstance(base, nodes.Name) and base.name in _DATA):
            yield _NOBODY  # of a text it would be a part that nobody has looked at
        case nodes.Getitem(node=nodes.Const()):
            yield _NOBODY
        case _ if not _is_number(node):
            parts = _parts(node)
            yield from (name for part in parts for name in _taken_from(part))
            yield from () if parts else (_NOBODY,)


def _parts(node: nodes.Node) -> Sequence[nodes.Node | None]:
    """Return the parts that a value is taken from; of what is put together, none."""
    match node:
        case nodes.Getattr() | nodes.Getitem() | nodes.List() | nodes.Tuple() | nodes.Dict() | nodes.Pair():
            return [*node.iter_child_nodes(), None]
        case nodes.CondExpr():
            return (node.expr1, node.expr2)
        case nodes.Filter(name="items" | "dictsort" | "list" | "first" | "last" | "unique" | "sort"):
            return (node.node,)
        case nodes.Call(node=nodes.Getattr(node=inner, attr="items" | "keys" | "values"), args=[], kwargs=[]):
            return (inner,)
        case nodes.Call(node=nodes.Name(name="namespace" | "dict"), args=[]):
            return [*(each.value for each in node.kwargs), None]
    return ()


def _is_number(node: nodes.Node) -> bool:
    """Whether a value can be nothing but a number, or an error: text and a number cannot be added."""
    match node:
        case nodes.Getattr(node=nodes.Name(name="loop"), attr=name):
            return name in _OF_A_LOOP
        case nodes.Add(left=left, right=right):
            return _is_number(left) or _is_number(right)
        case nodes.Mul(left=left, right=right) | nodes.Mod(left=left, right=right):
            return _is_number(left) and _is_number(right)
        case nodes.Filter(name=name):
            return name in ("length", "count") or (name == "int" and not (node.args or node.kwargs))
        case nodes.Call(node=nodes.Name(name="range")) | nodes.Const(value=int()):
            return True
    return isinstance(node, _NUMBERS)
