"""
The shapes that rows come in, recognised by their names, and how each becomes a conversation.

OpenAI and Alpaca rows become what xtuner 0.2.0's own map functions make of them, to the line
break between an instruction and its empty input. Where those would fail, or silently learn
nothing, the row is refused: a role that they do not know, a `loss` that is neither true nor
false, a conversation without an answer. ShareGPT rows, for which xtuner 0.2.0 has no function,
are read as OpenAI's with other names.

Source:
    xtuner v0.2.0 `xtuner/dataset/map_fns/dataset_map_fns/{openai,alpaca}_map_fn.py`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.datasets.conversations import OPENAI, SHAREGPT, SHAREGPT_OPENAI, listed, text_of, turns_of
from app.domain.datasets.kinds import RowForm
from app.domain.datasets.refusals import RefusedRowError, shown
from app.domain.datasets.rows import Turn, turn
from app.domain.messages import Message, message

Record = Mapping[str, Any]
NO_OUTPUT = "<nooutput>"  # how the Alpaca set marks its rows without an answer; xtuner leaves them out
MOST_NAMES = 8  # of a row that a sentence lists
PAIRS = (
    ("question", "answer"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("问题", "回答"),
    ("问", "答"),
    ("input", "output"),
)


@dataclass(frozen=True)
class RowShape:
    """One shape of rows: the names that every row has, and what makes a conversation of them."""

    form: RowForm
    names: tuple[str, ...]
    turns: Callable[[Record], list[Turn]]

    def convert(self, record: object) -> list[Turn]:
        """Return a row's turns, none for a row that is to be left out; RefusedRowError when it cannot be used."""
        named = _named(record)
        if all(name in named for name in self.names):
            return self.turns(named)
        raise RefusedRowError(
            message(
                "It has {names}, and the first row had {expected}. All rows of a file have one shape.",
                names=_list(named),
                expected=_list(self.names),
            )
        )


def shape_of(record: object) -> RowShape:
    """Recognise the shape of a file by its first row; RefusedRowError when it is none of them."""
    named = _named(record)
    shape = fitting_shape(named)
    if shape is None:
        raise RefusedRowError(
            message(
                "It has {names}. A row needs “messages”, “conversations” or “conversation”, an “instruction” with its "
                "“output”, or a pair such as “question” and “answer”.",
                names=_list(named),
            )
        )
    return shape


def fitting_shape(names: Collection[str]) -> RowShape | None:
    """Return the shape of rows with these names; None when there is none."""
    return next((shape for shape in SHAPES if all(name in names for name in shape.names)), None)


def _named(record: object) -> Record:
    if isinstance(record, dict):
        return record
    raise RefusedRowError(message("It is no object with named values. Each row is an object, such as {example}.",
                                  example='{"question": "…", "answer": "…"}'))  # fmt: skip


def _list(names: Collection[str]) -> Message | str:
    if not names:
        return message("no names")
    some = ", ".join(f"“{shown(name)}”" for name in list(names)[:MOST_NAMES])
    return some if len(names) <= MOST_NAMES else f"{some}, …"


# ── The shapes ─────────────────────────────────────────────────────────────


def _openai(record: Record) -> list[Turn]:
    return turns_of(record["messages"], name="messages", words=OPENAI)


def _sharegpt(record: Record) -> list[Turn]:
    said = listed(record["conversations"], name="conversations")
    is_openai = bool(said) and isinstance(said[0], dict) and "role" in said[0] and "from" not in said[0]
    turns = turns_of(said, name="conversations", words=SHAREGPT_OPENAI if is_openai else SHAREGPT)
    return _begun_with(turns, text_of(record, "system"))


def _begun_with(turns: list[Turn], system: str) -> list[Turn]:
    if system and not turns[0]["system"]:
        turns[0]["system"] = system
    return turns


def _xtuner(record: Record) -> list[Turn]:
    said = listed(record["conversation"], name="conversation")
    if not said:
        raise RefusedRowError(message("“{name}” is empty: there is nothing to learn from it.", name="conversation"))
    return [_own_turn(each, number) for number, each in enumerate(said, 1)]


def _own_turn(said: object, number: int) -> Turn:
    if not isinstance(said, dict) or "output" not in said:
        raise RefusedRowError(message("Turn {turn} has no “{name}”.", turn=number, name="output"))
    with_loss = said.get("output_with_loss")
    if with_loss is not None and not isinstance(with_loss, bool):
        raise RefusedRowError(message("The “{name}” of turn {turn} is {value}. Write true or false.",
                                      name="output_with_loss", turn=number, value=shown(with_loss)))  # fmt: skip
    return turn(
        text_of(said, "input"),
        text_of(said, "output"),
        system=text_of(said, "system"),
        with_loss=with_loss is not False,
    )


def _alpaca(record: Record) -> list[Turn]:
    answer = text_of(record, "output")
    if answer == NO_OUTPUT:
        return []
    question = f"{text_of(record, 'instruction')}\n{text_of(record, 'input')}"
    turns = [*_earlier(record.get("history")), turn(question, answer)]
    return _begun_with(turns, text_of(record, "system"))


def _earlier(history: object) -> list[Turn]:
    """Return the turns before an Alpaca row's own, each a list of a question and an answer."""
    said = [] if history is None or history == "" else listed(history, name="history")
    turns = []
    for each in said:
        match each:
            case [str(question), str(answer)]:
                turns.append(turn(question, answer))
            case _:
                raise RefusedRowError(message("“{name}” is not a list of lists of two texts.", name="history"))
    return turns


def _pairs(question: str, answer: str) -> RowShape:
    def turns(record: Record) -> list[Turn]:
        return [turn(text_of(record, question), text_of(record, answer), system=text_of(record, "system"))]

    return RowShape(RowForm.PAIRS, (question, answer), turns)


SHAPES = (  # the first that fits counts: an Alpaca row has an `input` and an `output` too
    RowShape(RowForm.OPENAI, ("messages",), _openai),
    RowShape(RowForm.SHAREGPT, ("conversations",), _sharegpt),
    RowShape(RowForm.XTUNER, ("conversation",), _xtuner),
    RowShape(RowForm.ALPACA, ("instruction", "output"), _alpaca),
    *(_pairs(*names) for names in PAIRS),
)
COLUMNS = frozenset(name for shape in SHAPES for name in shape.names) | {"system", "input", "history"}
"""Every name that any shape reads."""
LISTS = frozenset({"messages", "conversations", "conversation", "history"})
"""Of them, those that hold a list."""
