"""Tables of the `temper` command on terminals of any width."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from app.cli.listings import Listing
from app.cli.output import WIDTH_WITHOUT_TERMINAL

NARROWEST = 24  # cells: the longest name of a column, and the longest word beside it
words = st.text("abcdefgh", min_size=1, max_size=10)
sentences = st.lists(words, min_size=1, max_size=12).map(" ".join)


def drawn(listing: Listing, *, width: int) -> list[str]:
    """Return the lines of a listing on a terminal of some width."""
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False).print(listing)
    return out.getvalue().splitlines()


def runs() -> Listing:
    """Return a listing as `temper runs` makes it."""
    listing = Listing("id", "name", "model", "progress", numbers=("id",))
    listing.add(12345, "Small assistant, CPU", "SmolLM2-135M-Instruct", "training, 120/1000, loss 1.234")
    listing.add(7, "[bold]ada[/bold]", "smollm2", "queued")
    return listing


@given(rows=st.lists(st.tuples(st.integers(0, 99_999), sentences, sentences), max_size=5), width=st.integers(24, 160))
@pytest.mark.parametrize("is_ruled", [False, True])
def test_no_word_and_no_number_is_ever_cut(rows: list[tuple[int, str, str]], width: int, *, is_ruled: bool) -> None:
    """However narrow the terminal is, and no line is longer than it."""
    listing = Listing("id", "name", "progress", numbers=("id",), is_ruled=is_ruled)
    for row in rows:
        listing.add(*row)

    lines = drawn(listing, width=width)

    wanted = [word for row in rows for cell in row for word in str(cell).split()]
    shown = re.findall(r"[a-z]+|\d+", "\n".join(lines))
    assert not [word for word in wanted if word not in shown]
    assert all(cell_len(line) <= width for line in lines)


def test_a_wide_terminal_has_one_line_for_each_row() -> None:
    """Names above, numbers to the right, markup as text."""
    lines = [line.rstrip() for line in drawn(runs(), width=120)]

    assert lines == [
        "   id  name                  model                  progress",
        "12345  Small assistant, CPU  SmolLM2-135M-Instruct  training, 120/1000, loss 1.234",
        "    7  [bold]ada[/bold]      smollm2                queued",
    ]


def test_a_narrower_one_breaks_lines_between_words() -> None:
    """The longest texts give way first."""
    lines = [line.rstrip() for line in drawn(runs(), width=64)]

    assert lines[1:4] == [
        "12345  Small assistant,  SmolLM2-135M-Instruct  training,",
        "       CPU                                      120/1000, loss",
        "                                                1.234",
    ]


def test_the_narrowest_has_a_block_for_each_row() -> None:
    """With the column's name before each value."""
    lines = [line.rstrip() for line in drawn(runs(), width=36)]

    assert lines[:6] == [
        "id        12345",
        "name      Small assistant, CPU",
        "model     SmolLM2-135M-Instruct",
        "progress  training, 120/1000, loss",
        "          1.234",
        "",
    ]


def test_what_is_no_terminal_has_all_the_room_it_needs() -> None:
    """A line of a pipe is a row, however long its answers are."""
    listing = Listing("probe", "answer")
    listing.add("Who?", "word " * 2_000)

    assert len(drawn(listing, width=WIDTH_WITHOUT_TERMINAL)) == 2


def test_chinese_may_be_broken_anywhere() -> None:
    """It has no spaces: a sentence is no word that drives a table apart."""
    listing = Listing("probe", "base model", is_ruled=True)
    listing.add("请做一下自我介绍", "我是一个人工智能助手，可以回答问题。" * 3)

    lines = drawn(listing, width=40)

    assert lines[0].startswith("┏")
    assert all(cell_len(line) <= 40 for line in lines)
