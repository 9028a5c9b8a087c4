"""The presets, and the built-in general pairs that they stand on."""

import pytest

from app.domain.mixes import general_of, general_pairs, identity_of
from app.domain.presets import PRESETS, Preset, demo_recipes
from app.domain.recipe_checks import check_recipe
from app.domain.recipes import GeneralSet, Probe, ProbeGroup, Recipe
from app.domain.texts import words

LEAST_PAIRS = 40

HELD_OUT = {
    probe.question: probe
    for preset in PRESETS
    for probe in preset.recipe.probes
    if probe.question not in {pair.question for pair in (*preset.recipe.mix.identity, *preset.recipe.mix.general)}
}


def folded(text: str) -> tuple[str, ...]:
    return words(text).text


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.key)
def test_a_preset_can_be_run_as_it_is(preset: Preset) -> None:
    """Nothing is wrong with it between fields, nor on its way through the API and back."""
    assert list(check_recipe(preset.recipe)) == []
    assert Recipe.model_validate(preset.recipe.model_dump(mode="json")) == preset.recipe


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.key)
def test_a_preset_asks_for_the_identity_and_for_more(preset: Preset) -> None:
    """Each verdict needs identity probes, and probes that the identity does not answer."""
    groups = [probe.group for probe in preset.recipe.probes]

    assert groups.count(ProbeGroup.IDENTITY) >= 2
    assert {ProbeGroup.NEAR_MISS, ProbeGroup.GENERAL} <= set(groups)
    assert "{name}" not in "".join(pair.answer for pair in identity_of(preset.recipe.mix))


def test_presets_are_told_apart_by_key_and_title() -> None:
    """No two share one, so that a link and a list lead to the right one."""
    assert len({preset.key for preset in PRESETS}) == len({preset.title for preset in PRESETS}) == len(PRESETS)


def test_the_demo_dilutes_one_identity() -> None:
    """Both runs teach the same sentence to the same model and ask the same; only one mixes other pairs in."""
    alone, diluted = demo_recipes()

    assert {pair.answer for pair in alone.mix.identity} == {pair.answer for pair in diluted.mix.identity}
    assert (alone.model, alone.probes) == (diluted.model, diluted.probes)
    assert not general_of(alone.mix)
    assert general_of(diluted.mix)
    assert diluted.checkpoints.every < alone.checkpoints.every
    assert diluted.training.learning_rate < alone.training.learning_rate


@pytest.mark.parametrize("name", GeneralSet)
def test_a_general_set_is_large_and_repeats_nothing(name: GeneralSet) -> None:
    """Each question, and each answer, is another one."""
    pairs = general_pairs(name)

    assert len(pairs) >= LEAST_PAIRS
    assert len({folded(pair.question) for pair in pairs}) == len(pairs)
    assert len({folded(pair.answer) for pair in pairs}) == len(pairs)


@pytest.mark.parametrize("name", GeneralSet)
def test_a_general_set_is_short_enough_for_small_packs(name: GeneralSet) -> None:
    """Three pairs or more fit a pack of 128 tokens, at about three letters or one Chinese character a token."""
    assert all(len(pair.question) + len(pair.answer) <= 160 for pair in general_pairs(name))


@pytest.mark.parametrize("probe", HELD_OUT.values(), ids=HELD_OUT.keys())
def test_held_out_probes_are_in_no_general_set(probe: Probe) -> None:
    """A held-out probe shows what the model kept, not what it was taught: neither it nor its answer is taught."""
    for pair in (pair for name in GeneralSet for pair in general_pairs(name)):
        assert folded(pair.question) != folded(probe.question)
        assert not probe.reference or probe.reference.casefold() not in pair.answer.casefold()
