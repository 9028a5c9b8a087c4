"""How far an answer is from the base model's, and from a reference."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.distances import agreement, distance, length_ratio

TEXTS = st.text(max_size=60) | st.text(alphabet="我是助手 Ada,.🙂", max_size=40) | st.just("long " * 3_000)


@given(TEXTS, TEXTS)
def test_a_distance_is_the_same_either_way_round(one: str, other: str) -> None:
    """Between 0 and 1, and nothing from itself."""
    assert 0 <= distance(one, other) <= 1
    assert distance(one, other) == distance(other, one)
    assert distance(one, one) == 0


@given(TEXTS)
def test_an_answer_is_as_long_as_itself(text: str) -> None:
    """A text without words has no length to compare with."""
    assert length_ratio(text, text) in {None, 1.0}
    assert length_ratio("", text) in {None, 0.0}
    assert length_ratio(text, "") is None


@settings(max_examples=40)
@given(TEXTS, TEXTS)
def test_agreement_keeps_its_bounds(text: str, reference: str) -> None:
    """Between 0 and 1 whatever the texts; as good as can be for the reference itself; none without one."""
    found = agreement(text, reference)

    if reference.strip():
        assert found is not None
        assert 0 <= found <= 1
        assert agreement(reference, reference) == 1
    else:
        assert found is None


@pytest.mark.parametrize(("near", "far", "reference"), [("Paris.", "Lyon.", "Paris"), ("有外滩。", "有豫园。", "外滩")])
def test_who_says_the_reference_agrees_more(near: str, far: str, reference: str) -> None:
    """In any script, since characters are counted and not words."""
    assert (agreement(near, reference) or 0) > (agreement(far, reference) or 0)


def test_chinese_counts_by_characters() -> None:
    """Two of four characters are half of the words."""
    assert length_ratio("外滩", "外滩豫园") == 0.5
    assert distance("外滩", "外滩豫园") == pytest.approx(1 / 3)
