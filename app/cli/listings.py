"""
Tables for a terminal of any width: words and numbers stay whole.

Text is wrapped between its words, and a number is never wrapped. Where not even the longest words
fit side by side, every row becomes a block of its own, with the name of each column before its value.
"""

import re
from collections.abc import Collection, Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

LONGEST_WORD = 40  # cells; what is longer, such as a path, is cut before it drives everything else into blocks
GAP = 2  # cells between columns
RULE = 3  # cells that a column costs where lines are drawn: a line, and a space on both sides
BETWEEN_WORDS = re.compile(r"\s+|(?<=[\u2e80-\uffef])|(?=[\u2e80-\uffef])")  # Chinese may be broken anywhere


def plain(value: object) -> Text:
    """Return text that stays text: nothing in a name or an answer is markup or a control code."""
    return Text("".join(char if char.isprintable() or char == "\n" else "�" for char in str(value)))


class Listing:
    """Rows under named columns."""

    def __init__(self, *columns: str, numbers: Collection[str] = (), is_ruled: bool = False) -> None:
        """
        Begin with no row.

        Args:
            numbers: the columns that are aligned to the right and never wrapped.
            is_ruled: draw lines between rows and columns, as long texts need.
        """
        self._names, self._numbers, self._is_ruled = columns, frozenset(numbers), is_ruled
        self._rows: list[tuple[Text, ...]] = []

    def add(self, *cells: object) -> None:
        """Add a row; what is no text is written as one."""
        self._rows.append(tuple(cell if isinstance(cell, Text) else plain(cell) for cell in cells))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw a table where it fits, else blocks."""
        widths = self._fit(options.max_width)
        if widths is None:
            yield from self._blocks()
        else:
            yield self._table(widths)

    def _table(self, widths: Sequence[int]) -> Table:
        made = Table(header_style="bold", show_lines=True) if self._is_ruled else _bare()
        for name, width in zip(self._names, widths, strict=True):
            is_number = name in self._numbers
            made.add_column(
                plain(name), width=width, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold"
            )
        for row in self._rows:
            made.add_row(*row)
        return made

    def _blocks(self) -> Iterator[RenderableType]:
        width = max(map(cell_len, self._names))
        for row in self._rows:
            block = _bare(has_names=False)
            block.add_column(width=width, style="bold")
            block.add_column(overflow="fold")
            for name, cell in zip(self._names, row, strict=True):
                block.add_row(plain(name), cell)
            yield block
            yield ""

    def _fit(self, room: int) -> list[int] | None:
        """Share the room out: nobody gets less than their longest word, nor more than they can use."""
        columns = [[plain(name), *(row[at] for row in self._rows)] for at, name in enumerate(self._names)]
        most = [max(map(_length, texts)) for texts in columns]
        least = [
            high if name in self._numbers else min(high, LONGEST_WORD, max(map(_longest_word, texts)))
            for name, texts, high in zip(self._names, columns, most, strict=True)
        ]
        spare = room - sum(least) - (RULE * len(least) + 1 if self._is_ruled else GAP * len(least))
        return None if spare < 0 else _shared_out(spare, least, most)


def _bare(*, has_names: bool = True) -> Table:
    return Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", show_header=has_names)


def _length(text: Text) -> int:
    return max(map(cell_len, text.plain.split("\n")))


def _longest_word(text: Text) -> int:
    return max(map(cell_len, BETWEEN_WORDS.split(text.plain)))


def _shared_out(spare: int, least: Sequence[int], most: Sequence[int]) -> list[int]:
    """Return widths: what is to spare goes to the narrowest that can use it, cell by cell."""
    if sum(most) - sum(least) <= spare:
        return list(most)
    widths = list(least)
    for _ in range(spare):
        widths[min((at for at in range(len(widths)) if widths[at] < most[at]), key=widths.__getitem__)] += 1
    return widths
