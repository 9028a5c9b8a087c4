"""Answers that go on and on, and those that only sound alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.repetition import LOOP_TIMES, loop_in, repetition

TEXTS = st.text(max_size=60) | st.text(alphabet="我是助手 ab.1)🙂", max_size=40) | st.just("一" * 5_000)
SENTENCES = st.lists(st.sampled_from(["small", "model", "Ada", "我", "是", "🙂", "né"]), min_size=4, max_size=8).map(
    " ".join
)


@given(TEXTS, st.booleans())
def test_scores_keep_their_bounds(text: str, is_cut: bool) -> None:
    """Repetition is between 0 and 1 for any text, and a loop's place is in the text."""
    loop = loop_in(text, is_cut=is_cut)

    assert 0 <= repetition(text) < 1
    if loop:
        assert 0 <= loop.start < loop.end <= len(text)
        assert loop.times >= 2


@given(TEXTS)
def test_a_loop_of_an_answer_that_ended_is_one_of_the_same_cut(text: str) -> None:
    """Being cut asks for less proof, never for more."""
    assert loop_in(text) is None or loop_in(text, is_cut=True) is not None


@given(SENTENCES, st.integers(LOOP_TIMES, 9))
def test_a_sentence_said_again_and_again_is_a_loop(sentence: str, times: int) -> None:
    """Whatever its language, and however often it comes."""
    loop = loop_in(" ".join(["First of all:"] + [sentence] * times))

    assert loop is not None
    assert loop.times >= times


@given(SENTENCES, st.integers(3, 9))
def test_saying_it_more_often_repeats_more(sentence: str, times: int) -> None:
    """Another repeat never lowers the repetition."""
    assert repetition(f"{sentence} " * times) <= repetition(f"{sentence} " * (times + 1))


@pytest.mark.parametrize(
    ("text", "is_cut"),
    [
        ("Ada's little assistant Ada's little assistant Ada's little assistant Ada's", True),
        ("The capital of France is Paris. The capital of France is Paris. The cap", True),
        ("你能帮助我吗－－－－－－－－－－－－－", True),
        ("I am a 25-year-old male, a 25-year-old male, and a 25-year-old male", True),
        ("1. A small cat. 2. A small cat. 3. A small cat. 4. A small", True),
        ("我是助手，我是助手，我是助手，我是", True),
        ("哈哈哈哈哈哈哈哈哈哈", False),
    ],
)
def test_what_a_person_calls_a_loop_is_one(text: str, is_cut: bool) -> None:
    """Also where the end is cut in a word, a list is numbered, or an “and” stands between."""
    assert loop_in(text, is_cut=is_cut) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No, no, no.",
        "Cold. Cold.",
        "I'm a 25-year-old woman named Sarah. I'm a 25-year-old woman named Sarah.",
        "| name | age |\n|------------|-----|\n| Ada the Countess of Lovelace | 36 |\n| Charles Babbage | 79 |",
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
        "你好你好",
        "The Nile is a river. The Congo is a river. The Niger is a river.",
        "To be, or not to be, that is the question.",
        "上海的景点有外滩、豫园和南京路步行街。",
    ],
)
def test_speech_is_no_loop(text: str) -> None:
    """Short words said twice, counting, a sentence said twice and sentences built alike are speech."""
    assert loop_in(text) is None


def test_the_words_before_a_loop_are_not_in_it() -> None:
    """The loop's place is what a reader would point at."""
    text = "Well then. I know that you know that you know that you know that you know"

    loop = loop_in(text)

    assert loop is not None
    assert text[loop.start : loop.end] == "know that you know that you know that you know that you know"
