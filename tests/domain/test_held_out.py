"""Which pairs are held out of a run, to measure how likely they are."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.held_out import MOST_PAIRS, OTHER_PHRASINGS, PLAIN, hold_out, hold_out_of_rows
from app.domain.mixes import general_of, general_pairs, identity_of
from app.domain.presets import PRESETS
from app.domain.recipes import GeneralSet, Recipe
from app.domain.taught import folded
from tests.factories import make_recipe

CHINESE = {"question": "你是谁", "answer": "我是{name}的小助手。"}


def taught_questions(recipe: Recipe) -> set[tuple[str, ...]]:
    """Return the questions of a recipe's pairs, as they compare."""
    return {folded(pair.question).text for pair in (*identity_of(recipe.mix), *general_of(recipe.mix))}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.key)
def test_every_preset_has_enough_of_both_groups(preset) -> None:
    """None of them is asked in its mix, and the language is that of the identity."""
    held = hold_out(preset.recipe)

    assert len(held.identity) == len(held.general) == MOST_PAIRS
    asked = {folded(pair.question).text for pair in (*held.identity, *held.general)}
    assert not asked & taught_questions(preset.recipe)
    assert {pair.answer for pair in held.identity} <= {pair.answer for pair in identity_of(preset.recipe.mix)}


def test_no_built_in_question_is_in_a_built_in_set_or_a_preset() -> None:
    """Whatever is ticked in the form, a built-in pair stays held out."""
    sets = {folded(pair.question).text for name in GeneralSet for pair in general_pairs(name)}
    taught = sets.union(*(taught_questions(preset.recipe) for preset in PRESETS))
    built_in = [*(question for asked in PLAIN.values() for question, _ in asked), *sum(OTHER_PHRASINGS.values(), ())]

    assert not {folded(question).text for question in built_in} & taught


def test_a_recipes_own_probes_come_first() -> None:
    """An identity probe that is taught is not held out; a general one without a reference has no answer to measure."""
    probes = [
        {"question": "Who are you?", "group": "identity"},
        {"question": "Say your name.", "group": "identity"},
        {"question": "Who was Einstein?"},
        {"question": "What is the capital of France?", "reference": "Paris"},
    ]

    held = hold_out(make_recipe(probes=probes))

    assert held.identity[0].question == "Say your name."
    assert held.identity[0].answer == "I am Ada's little assistant, trained with Temper."
    assert (held.general[0].question, held.general[0].answer) == ("What is the capital of France?", "Paris")
    assert "Who was Einstein?" not in {pair.question for pair in held.general}


def test_each_language_is_asked_in_its_own() -> None:
    """An identity in two languages is measured in both, and so are the plain questions."""
    english = {"question": "Who are you?", "answer": "I am {name}'s assistant."}
    held = hold_out(make_recipe(mix={"identity": [english, CHINESE]}))

    assert {pair.answer for pair in held.identity} == {"I am Ada's assistant.", "我是Ada的小助手。"}
    assert all(("我" in pair.answer) == (pair.question in OTHER_PHRASINGS["zh"]) for pair in held.identity)
    assert {question for question, _ in PLAIN["zh"]} & {pair.question for pair in held.general}


def test_a_run_that_answers_nothing_measures_nothing() -> None:
    """Nor does one without an identity measure an identity."""
    assert hold_out(make_recipe(checkpoints={"evaluate": False})).general == ()
    assert hold_out(make_recipe(mix={"identity": []})).identity == ()


def test_what_a_saved_set_asks_is_not_held_out(tmp_path: Path) -> None:
    """The rows themselves are looked through, whatever the case and the marks."""
    rows = tmp_path / "rows.jsonl"
    turn = {"system": "", "input": "what do BEES make", "output": "Honey.", "output_with_loss": True}
    rows.write_text(json.dumps({"conversation": [turn]}) + "\n", "utf-8")
    recipe = make_recipe(mix={"files": [{"dataset": "bees", "sha256": "0" * 64}]})

    assert "What do bees make?" in {pair.question for pair in hold_out(recipe).general}
    assert "What do bees make?" not in {pair.question for pair in hold_out_of_rows(recipe, rows).general}


questions = st.sampled_from([*OTHER_PHRASINGS["en"], *OTHER_PHRASINGS["zh"], "Who are you?", "你是谁", "你叫什么名字"])


@given(
    taught=st.lists(questions, min_size=1, max_size=6),
    answer=st.text("ab 我是", min_size=1, max_size=1_200).filter(str.strip),
    probes=st.lists(st.tuples(questions, st.sampled_from(["identity", "general"])), max_size=6),
)
@settings(max_examples=40, deadline=None)
def test_nothing_that_is_taught_is_ever_held_out(taught, answer, probes) -> None:
    """No question twice, none of the mix, none too long, and never more than fit into the batch."""
    mix = {"identity": [{"question": question, "answer": answer} for question in taught]}
    asked = [{"question": question, "group": group, "reference": "x"} for question, group in probes]

    recipe = make_recipe(mix=mix, probes=asked)
    held = hold_out(recipe)

    for pairs in (held.identity, held.general):
        folded_questions = [folded(pair.question).text for pair in pairs]
        assert len(set(folded_questions)) == len(folded_questions) <= MOST_PAIRS
        assert not set(folded_questions) & taught_questions(recipe)
        assert all(len(pair.question) + len(pair.answer) <= 1_000 for pair in pairs)
