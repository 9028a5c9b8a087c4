"""Probes near the identity, proposed by rule."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.mixes import general_of, identity_of
from app.domain.near_misses import NearMissKind, propose_near_misses
from app.domain.presets import PRESETS
from app.domain.recipes import Mix, Pair, ProbeGroup
from app.domain.taught import folded

ENGLISH = Pair(question="Who are you?", answer="I am {name}'s assistant.")
CHINESE = Pair(question="你是谁？", answer="我是{name}的小助手。")


def questions(mix: Mix, kind: NearMissKind | None = None, **options) -> list[str]:
    """Return the proposed questions, of one kind or of all."""
    return [each.question for each in propose_near_misses(mix, **options) if kind in {None, each.kind}]


def test_an_english_identity_is_denied_told_of_and_given_to_others() -> None:
    """In English, with its name in it."""
    mix = Mix(name="Ada", identity=(ENGLISH,))

    assert questions(mix, NearMissKind.NEGATION)[0] == "You are not Ada's assistant, are you?"
    assert "Who is Ada's assistant?" in questions(mix, NearMissKind.THIRD_PERSON)
    assert questions(mix, NearMissKind.OTHER_NAME) == ["Are you Bob's assistant?", "Who is Ada Lovelace?"]
    assert "你是谁？" in questions(mix, NearMissKind.ANOTHER_LANGUAGE)
    assert "Are you a doctor?" in questions(mix, NearMissKind.NEIGHBOUR)


def test_a_chinese_identity_is_asked_in_chinese() -> None:
    """English is another language then."""
    mix = Mix(name="小明", identity=(CHINESE,))

    assert "你不是小明的助手吧？" in questions(mix)
    assert "你是小红的助手吗？" in questions(mix)
    assert "介绍一下上海" in questions(mix)
    assert questions(mix, NearMissKind.ANOTHER_LANGUAGE) == ["Who are you?", "Qui es-tu ?", "あなたは誰ですか？"]


def test_an_identity_in_both_languages_lacks_only_the_others() -> None:
    """What is taught in English and Chinese is asked in French and Japanese."""
    mix = Mix(name="Ada", identity=(ENGLISH, CHINESE))

    assert questions(mix, NearMissKind.ANOTHER_LANGUAGE) == ["Qui es-tu ?", "あなたは誰ですか？"]


def test_a_name_that_no_pair_holds_is_not_asked_about() -> None:
    """Whoever wrote the identity out has a name that means nothing."""
    mix = Mix(name="Ada", identity=(Pair(question="Who are you?", answer="I am a small model."),))

    assert not [question for question in questions(mix) if "Ada" in question]
    assert questions(Mix(name="Ada")) == []


def test_what_is_asked_already_is_not_proposed() -> None:
    """Whatever its case and marks."""
    mix = Mix(name="Ada", identity=(ENGLISH,))

    assert "Are you a doctor?" not in questions(mix, asked=["are you a DOCTOR"])


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.key)
def test_every_preset_gets_some_of_every_kind(preset) -> None:
    """Beside the near misses that it has."""
    asked = [probe.question for probe in preset.recipe.probes]

    kinds = {each.kind for each in propose_near_misses(preset.recipe.mix, asked=asked)}

    assert kinds == set(NearMissKind)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
words = texts.map(str.strip).filter(bool).map(lambda text: text[:120].strip())


@given(name=words, question=words, answer=words, asked=st.lists(words, max_size=3))
@settings(max_examples=60, deadline=None)
def test_every_proposal_is_a_probe_that_is_new(name, question, answer, asked) -> None:
    """Whatever the name holds, braces too: no question twice, none that is taught, none that is asked."""
    mix = Mix(name=name, identity=(Pair(question=question, answer=answer + "{name}"), ENGLISH))

    proposed = propose_near_misses(mix, asked=asked)

    folded_questions = [folded(each.question).text for each in proposed]
    known = [*(pair.question for pair in (*identity_of(mix), *general_of(mix))), *asked]
    assert len(set(folded_questions)) == len(folded_questions)
    assert not set(folded_questions) & {folded(text).text for text in known}
    assert all(each.probe.group is ProbeGroup.NEAR_MISS and str(each.why) for each in proposed)
