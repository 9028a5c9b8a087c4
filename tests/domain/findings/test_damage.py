"""The sieves of texts: what they hold back is none of what they are for."""

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.findings.damage import LOOKS_DAMAGED, LOOKS_ODD, is_blank, is_damaged, is_odd, is_plain, undamaged
from app.domain.findings.keys import normalised
from tests.domain.findings.rows import CLEAN

SINGLE_BYTE = ("latin-1", "windows-1252", "windows-1251", "windows-1253", "windows-1250", "mac-roman", "cp437")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
mojibake = st.tuples(
    st.text(st.sampled_from("éüñ’“–你好ŁПр€ "), min_size=1, max_size=6), st.sampled_from(SINGLE_BYTE)
).map(lambda given: given[0].encode().decode(given[1], "replace"))
markers = st.lists(
    st.sampled_from(["User", "用户", ":", "：", "<|im_end|>", "</s>", "[INST]", "#", "##", " ", "a", "\n", "<", "|"]),
    max_size=5,
).map("".join)


@given(text=texts | mojibake | markers)
@example(text="вЂ")
@example(text="a Ã b")
@example(text="a\u200bb")
@settings(max_examples=300, deadline=None)
def test_the_sieves_let_all_through_that_is_wrong(text: str) -> None:
    """In polars and in Python: a text that is damaged or odd is looked at."""
    series = pl.Series([text])
    passes = series.str.contains(LOOKS_DAMAGED)[0], series.str.contains(LOOKS_ODD)[0]

    assert passes[0] or not is_damaged(text)
    assert passes[1] or not is_odd(text)
    assert not is_plain(text) or not (is_damaged(text) or is_odd(text))


@given(text=texts | mojibake)
@settings(max_examples=200, deadline=None)
def test_what_is_put_back_is_whole(text: str) -> None:
    """A repair is proposed only where nothing is wrong afterwards."""
    mended = undamaged(text) if is_damaged(text) else None

    assert mended is None or not is_damaged(mended)


@pytest.mark.parametrize("half", ["It is \ud83d of it", "\udca9"])
def test_half_a_character_is_damage_that_cannot_be_mended(half: str) -> None:
    """What a form sends may hold it; no file can."""
    assert is_damaged(half)
    assert not is_plain(half)
    assert undamaged(half) is None


def test_common_texts_are_plain() -> None:
    """They need no dear look."""
    assert all(is_plain(text) for pair in CLEAN[:4] for text in pair)


@given(text=texts)
def test_a_normalised_text_stays_the_same_without_its_end(text: str) -> None:
    """White space at the ends never counts, and nothing is lost of a text of marks alone."""
    assert normalised(f" {text}\n") == normalised(text)
    assert bool(normalised(text)) == bool(text.strip()) or is_blank(text)
