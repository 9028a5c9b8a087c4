"""Tokens of rows, and what a maximum length leaves of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import token_counts
from app.domain.errors import UnavailableError
from app.domain.prompt_templates import PromptTemplate, prompt_template
from app.domain.token_counts import count_tokens, join_counts, read_row
from app.domain.tokenising import TextTokenizer, load_tokenizer
from tests.tokenizers_here import write_tokenizer

PLAIN = PromptTemplate("plain", "Q{input}A", "S{system}", suffix="", suffix_ends=False, separator="\n")
ENDING = PromptTemplate("ending", "Q{input}A", "S{system}", suffix="<|im_end|>", suffix_ends=True, separator="")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    """Return a tokenizer of bytes that begins a text with one token."""
    return load_tokenizer(write_tokenizer(tmp_path_factory.mktemp("model"), begins=True))


def row(*turns: tuple[str, str, bool], system: str = "") -> Any:
    """Return a row of questions, answers and whether these are learnt."""
    return {
        "conversation": [
            {"system": system if not at else "", "input": question, "output": answer, "output_with_loss": learnt}
            for at, (question, answer, learnt) in enumerate(turns)
        ]
    }


def reference(one: Any, template: PromptTemplate) -> list[bool]:
    """Return each token of a row, and whether it carries loss, as `encode_fn` makes them one by one."""
    labels: list[bool] = []
    needs_begin = True
    for turn, said in enumerate(one["conversation"]):
        text = template.lay_out(said["input"], system=said["system"], turn=turn)
        answer = len(said["output"].encode()) + (1 if template.suffix else 0)
        labels += [False] * (int(needs_begin) + len(text.encode()))
        labels += [said["output_with_loss"]] * (answer + (not template.suffix_ends))
        needs_begin = not template.suffix_ends
        labels += [False] * len(template.separator.encode())
    return labels


turns = st.lists(
    st.tuples(st.text("ab你", max_size=5), st.text("ab你", max_size=5), st.booleans()), min_size=1, max_size=3
)


@given(data=st.lists(st.tuples(turns, st.sampled_from(["", "s"])), max_size=6), length=st.integers(1, 40))
@pytest.mark.parametrize("template", [PLAIN, ENDING], ids=lambda template: template.name)
@settings(max_examples=60, deadline=None)
def test_counts_and_cuts_are_those_of_the_rows_one_by_one(
    tokenizer: TextTokenizer, template: PromptTemplate, data: Any, length: int
) -> None:
    """Whatever the turns, the template and the maximum length."""
    rows = [row(*said, system=system) for said, system in data]
    expected = [reference(one, template) for one in rows]

    counts = count_tokens(rows, tokenizer=tokenizer, template=template)
    cut = counts.cut(length)

    assert counts.lengths.tolist() == [len(labels) for labels in expected]
    assert cut.lengths.tolist() == [len(labels[:length]) for labels in expected]
    assert cut.loss.tolist() == [sum(labels[:length]) for labels in expected]
    assert cut.loses_end.tolist() == [any(labels[length:]) for labels in expected]
    for place, labels in enumerate(expected):
        assert counts.loss_from(place, 3, length) == sum(labels[3:length])


def test_lots_put_together_are_the_whole(tokenizer: TextTokenizer) -> None:
    """Rows are counted in slices; where one ends makes no difference."""
    rows = [row(("a" * size, "b", True), ("c", "d", False)) for size in range(5)]

    whole = count_tokens(rows, tokenizer=tokenizer, template=PLAIN)
    joined = join_counts([count_tokens(rows[at : at + 2], tokenizer=tokenizer, template=PLAIN) for at in (0, 2, 4)])

    assert joined.span_rows.tolist() == whole.span_rows.tolist()
    assert joined.cut(6).loss.tolist() == whole.cut(6).loss.tolist()


def test_a_row_is_read_piece_by_piece(tokenizer: TextTokenizer) -> None:
    """Special tokens are named, the answer and its end are learnt, and what is beyond the length is marked."""
    read = read_row(row(("hi", "you", True)), tokenizer=tokenizer, template=PLAIN, max_length=7)

    assert [(each.text, each.is_special, each.has_loss, each.is_cut) for each in read.pieces] == [
        ("<|endoftext|>", True, False, False),
        ("QhiA", False, False, False),
        ("yo", False, True, False),
        ("u", False, True, True),
        ("<|endoftext|>", True, True, True),
        ("\n", False, False, True),
    ]
    assert (read.tokens, read.loss_tokens, read.loses_end) == (10, 2, True)


def test_special_tokens_side_by_side_stay_apart(tokenizer: TextTokenizer) -> None:
    """Each is a piece of its own; what is not special is put together."""
    read = read_row(row(("<|im_start|><|im_end|>ab", "c", True)), tokenizer=tokenizer, template=PLAIN, max_length=99)

    specials = [(each.text, each.tokens) for each in read.pieces if each.is_special]
    assert specials[:3] == [("<|endoftext|>", 1), ("<|im_start|>", 1), ("<|im_end|>", 1)]
    assert "abA" in [each.text for each in read.pieces]


def test_a_template_that_needs_an_end_needs_a_tokenizer_that_has_one(tmp_path: Path) -> None:
    """With a suffix of its own it does not."""
    endless = load_tokenizer(write_tokenizer(tmp_path, eos_token=None))

    counts = count_tokens([row(("a", "b", True))], tokenizer=endless, template=prompt_template("qwen_chat"))

    assert len(counts.lengths) == 1
    with pytest.raises(UnavailableError, match="no token that ends a text"):
        count_tokens([row(("a", "b", True))], tokenizer=endless, template=PLAIN)


class CountedLots:
    """Stands for a tokenizer, and notes the bytes that it is given at once."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self.begin, self.end, self._tokenizer = tokenizer.begin, tokenizer.end, tokenizer
        self.sizes: list[int] = []

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Count the tokens of each text."""
        self.sizes.append(sum(len(text.encode()) for text in texts))
        return self._tokenizer.lengths(texts)


def test_lots_are_small_whatever_the_rows_are(tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes, not in characters; a row that is larger is a lot of its own."""
    monkeypatch.setattr(token_counts, "LOT_BYTES", 100)
    counting: Any = CountedLots(tokenizer)
    rows = [row(("你" * 10, "b", True)) for _ in range(9)] + [row(("a" * 500, "b", True))]

    counts = count_tokens(rows, tokenizer=counting, template=PLAIN)

    assert max(size for size in counting.sizes if size < 500) <= 100
    assert len([size for size in counting.sizes if size > 500]) == 1
    assert counts.lengths.tolist() == [36] * 9 + [506]


def test_no_more_of_a_row_is_shown_than_anybody_reads(tokenizer: TextTokenizer) -> None:
    """A little beyond the maximum length, and so many characters; the tokens after these are counted."""
    cut = read_row(row(("a", "b" * 5_000, True)), tokenizer=tokenizer, template=PLAIN, max_length=10)
    long = read_row(row(("a", "b" * 50_000, True)), tokenizer=tokenizer, template=PLAIN, max_length=90_000)

    assert sum(piece.tokens for piece in cut.pieces) == 10 + token_counts.SHOWN_BEYOND
    assert (cut.tokens, cut.more_tokens, cut.loss_tokens, cut.loses_end) == (5_006, 4_796, 6, True)
    assert sum(len(piece.text) for piece in long.pieces) == token_counts.MOST_CHARACTERS
    assert (long.tokens, long.loss_tokens, long.loses_end) == (50_006, 50_001, False)
