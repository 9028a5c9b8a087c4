"""Sweeps before they are started: which runs follow, what they are called, and what is wrong with a value."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.recipe_checks import check_recipe
from app.domain.sweep_plans import MOST_RUNS, SweepPlan, SweepSetting, checked_plan, planned_runs, value_text
from tests.factories import make_recipe

N, M, RATE, R = "mix.identity_count", "mix.general_count", "training.learning_rate", "training.lora.r"


def make_plan(axes: dict[str, list[Any]], *, keeps_strength: bool = False, **changes: Any) -> SweepPlan:
    """Return a plan of the small recipe with some settings varied."""
    return SweepPlan(
        name="how much?",
        recipe=make_recipe(**changes),
        axes=[
            {"setting": name, "values": values, "keeps_strength": keeps_strength and name == R}
            for name, values in axes.items()
        ],
    )


def problems_of(plan: SweepPlan) -> dict[str, str]:
    """Return what is wrong with a plan, by field."""
    return {problem.field: str(problem.message) for problem in checked_plan(plan)[1]}


def test_the_runs_are_all_combinations() -> None:
    """The last setting varies fastest, and each run's name says its values."""
    plan, problems = checked_plan(make_plan({N: [24, 150], M: [0, 1, 4]}))

    runs = planned_runs(plan)

    assert problems == []
    assert [(run.recipe.mix.identity_count, run.recipe.mix.general_count) for run in runs] == [
        *((24, 0), (24, 1), (24, 4)),
        *((150, 0), (150, 1), (150, 4)),
    ]
    assert runs[1].recipe.name == "Small assistant, n 24, m 1"
    assert runs[1].recipe.training == plan.recipe.training


def test_a_length_takes_the_place_of_the_other_kind() -> None:
    """Epochs that vary leave no iterations in a recipe that counts those."""
    plan, problems = checked_plan(make_plan({"training.epochs": [1, 2]}))

    lengths = [(run.recipe.training.epochs, run.recipe.training.iterations) for run in planned_runs(plan)]

    assert problems == []
    assert lengths == [(1, None), (2, None)]


@pytest.mark.parametrize(("keeps", "alphas"), [(True, [4, 16, 32]), (False, [16, 16, 16])])
def test_alpha_follows_r_where_that_is_asked_for(keeps: bool, alphas: list[int]) -> None:
    """Alpha / r is the adapter's strength: kept, or changed by r alone."""
    plan, problems = checked_plan(make_plan({R: [4, 16, 32]}, keeps_strength=keeps))

    assert problems == []
    assert [run.recipe.training.lora.alpha for run in planned_runs(plan)] == alphas


def test_a_strength_that_cannot_be_kept_is_named_at_its_value() -> None:
    """An alpha is a whole number."""
    plan = make_plan({R: [4, 2]}, keeps_strength=True, training={"lora": {"r": 64, "alpha": 16}})

    assert "alpha 0.5" in problems_of(plan)["axes.0.values.1"]


@pytest.mark.parametrize(
    ("axes", "changes", "field", "words"),
    [
        ({N: [24, -1]}, {}, "axes.0.values.1", "0 or more"),
        ({N: [24, 1.5]}, {}, "axes.0.values.1", "not a whole number"),
        ({RATE: [1e-3, float("nan")]}, {}, "axes.0.values.1", "not a finite number"),
        ({RATE: [1e-3, 2]}, {}, "axes.0.values.1", "too large"),
        ({N: [24, 150, 24]}, {}, "axes.0.values.2", "twice"),
        ({RATE: [0.001, 1e-3]}, {}, "axes.0.values.1", "twice"),
        ({N: []}, {}, "axes.0.values", "at least one"),
        ({N: list(range(9))}, {}, "axes.0.values", "too many"),
        ({N: [1, 2, 3, 4, 5], M: [1, 2, 3, 4, 5], R: [1, 2, 4]}, {}, "axes", "75 runs are too many"),
        ({N: [24]}, {}, "axes", "two values"),
        ({}, {}, "axes", "two values"),
        ({R: [4, 8]}, {"method": "full"}, "axes.0.setting", "no adapter"),
        ({M: [1, 2]}, {"mix": {"general": []}}, "axes.0.setting", "no general pair"),
        ({N: [1, 2]}, {"mix": {"identity": []}}, "axes.0.setting", "no identity pair"),
        ({N: [1, 2]}, {"mix": {"identity_share": 0.4}}, "axes.0.setting", "vary its share"),
        ({"training.epochs": [1, 2], "training.iterations": [9, 20]}, {}, "axes.1.setting", "not both"),
        ({"training.iterations": [3, 20]}, {}, "axes.0.values", "iterations 3: The run ends"),
        ({N: [24, 1_000_000], M: [1, 1_000_000]}, {}, "axes.0.values", "n 1000000, m 1000000: "),
        ({N: [1, 2]}, {"probes": []}, "recipe.probes", "at least one probe"),
    ],
)
def test_what_is_wrong_is_named_where_it_is(
    axes: dict[str, list[Any]], changes: dict[str, Any], field: str, words: str
) -> None:
    """At the value, the setting, the sweep or the recipe, in words that say what to do."""
    found = problems_of(make_plan(axes, **changes))

    assert list(found) == [field]
    assert words in found[field]


def test_shares_vary_where_the_recipe_has_them() -> None:
    """A share takes the place of copies, and is written in percent."""
    plan, problems = checked_plan(make_plan({"mix.identity_share": [0.1, 0.5]}, mix={"identity_share": 0.4}))

    assert problems == []
    assert [run.recipe.name for run in planned_runs(plan)] == [
        "Small assistant, identity share 10 %",
        "Small assistant, identity share 50 %",
    ]


def test_a_long_name_is_cut_and_the_values_stay() -> None:
    """Names of runs that differ in their values differ."""
    plan, _ = checked_plan(make_plan({N: [24, 150]}, name="x" * 120))

    names = [run.recipe.name for run in planned_runs(plan)]

    assert [name[-7:] for name in names] == ["…, n 24", ", n 150"]
    assert all(len(name) <= 120 for name in names)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [(N, 24, "24"), (RATE, 1e-3, "1e-3"), (RATE, 0.05, "0.05"), ("mix.general_share", 0.125, "12.5 %")],
)
def test_a_value_is_written_as_it_is_typed(name: str, value: float, text: str) -> None:
    """Small ones with a power of ten, shares in percent."""
    assert value_text(SweepSetting(name), value) == text


VALUES = {
    N: st.integers(0, 500),
    M: st.integers(0, 500),
    RATE: st.floats(1e-6, 0.1),
    R: st.sampled_from([1, 2, 4, 8, 16, 32]),
    "training.iterations": st.integers(5, 100),
}


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(VALUES)), st.integers(1, 4), min_size=1, max_size=3).flatmap(
        lambda sizes: st.fixed_dictionaries(
            {name: st.lists(VALUES[name], min_size=1, max_size=size, unique=True) for name, size in sizes.items()}
        )
    )
)
def test_a_plan_without_problems_gives_runs_without_problems(axes: dict[str, list[Any]]) -> None:
    """As many as the product of the values, at most the most, no two alike, each one trainable."""
    plan, problems = checked_plan(make_plan(axes))
    if problems:
        return

    runs = planned_runs(plan)

    expected = 1
    for axis in plan.axes:
        expected *= len(axis.values)
    assert 2 <= len(runs) == expected <= MOST_RUNS
    assert len({run.recipe.model_dump_json(exclude={"name"}) for run in runs}) == len(runs)
    assert not [problem for run in runs for problem in check_recipe(run.recipe)]
