"""Why a file is not taken: a sentence, where in the file, and how both come out of the child that read it."""

from typing import Any

from app.domain.messages import Message, message

MOST_SHOWN = 60  # characters of a name or a value that a sentence repeats


class RefusedRowError(Exception):
    """A row cannot be used; whoever counts the rows says which."""

    def __init__(self, problem: Message) -> None:
        """Keep what is wrong and what cures it."""
        super().__init__(str(problem))
        self.problem = problem


class RefusedFileError(Exception):
    """A file cannot be used."""

    def __init__(self, text: Message, *, is_wrong_kind: bool = False) -> None:
        """
        Keep the sentence to show.

        Args:
            is_wrong_kind: it holds no rows that are written wrongly, but is something else: a program, a picture.
        """
        super().__init__(str(text))
        self.text = text
        self.is_wrong_kind = is_wrong_kind


def at_line(line: int, problem: Message) -> RefusedFileError:
    """Say what is wrong with a line of the file, counted from 1."""
    return RefusedFileError(message("Line {line}: {problem}", line=line, problem=problem))


def at_row(row: int, problem: Message) -> RefusedFileError:
    """Say what is wrong with a row of a file whose rows are no lines, counted from 1."""
    return RefusedFileError(message("Row {row}: {problem}", row=row, problem=problem))


def shown(text: object) -> str:
    """Shorten what a sentence repeats of a file, and leave out what cannot be printed."""
    kept = str(text)[: MOST_SHOWN + 1]
    kept = kept if len(kept) <= MOST_SHOWN else f"{kept[: MOST_SHOWN - 1]}…"
    return "".join(letter if letter.isprintable() else "�" for letter in kept)


def to_data(text: Message) -> dict[str, Any]:
    """Return a sentence as plain data, so that it can still be translated on the other side."""
    values = {name: to_data(value) if isinstance(value, Message) else value for name, value in text.values.items()}
    return {"template": text.template, "values": values}


def from_data(data: dict[str, Any]) -> Message:
    """Return the sentence of `to_data`."""
    values = {name: from_data(value) if isinstance(value, dict) else value for name, value in data["values"].items()}
    return Message(data["template"], values)
