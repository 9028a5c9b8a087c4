"""A bad recipe: every wrong value is named at its field, in words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.domain.errors import FieldError
from app.domain.mixes import filled_lengths, identity_of
from app.domain.recipe_checks import check_recipe, field_error
from app.domain.recipes import Mix, Pair, Recipe
from tests.factories import make_recipe_data

NAN, INFINITY = float("nan"), float("inf")


def problems_of(data: dict[str, Any]) -> dict[str, str]:
    """Return the sentence at each field that is complained about."""
    problems: list[FieldError]
    try:
        problems = list(check_recipe(Recipe.model_validate(data)))
    except ValidationError as error:
        problems = [field_error(detail) for detail in error.errors()]
    return {problem.field: str(problem.message) for problem in problems}


def training(**changes: Any) -> dict[str, Any]:
    """Return changes of the training settings."""
    return {"training": changes}


BAD_VALUES: list[tuple[dict[str, Any], str, str]] = [
    (training(learning_rate=NAN), "training.learning_rate", "not a finite number"),
    (training(learning_rate="nan"), "training.learning_rate", "not a finite number"),
    (training(learning_rate=1e309), "training.learning_rate", "not a finite number"),
    (training(learning_rate="1e309"), "training.learning_rate", "not a finite number"),
    (training(learning_rate=-INFINITY), "training.learning_rate", "not a finite number"),
    (training(learning_rate=-1e-4), "training.learning_rate", "above 0"),
    (training(learning_rate=0), "training.learning_rate", "above 0"),
    (training(learning_rate=7), "training.learning_rate", "0.1 or less"),
    (training(learning_rate="quick"), "training.learning_rate", "“quick” is not a number"),
    (training(learning_rate=None), "training.learning_rate", "not a number"),
    (training(iterations=None, epochs=0), "training.epochs", "1 or more"),
    (training(iterations=None, epochs=1.5), "training.epochs", "not a whole number"),
    (training(iterations=None, epochs=None), "training.epochs", "in epochs or in iterations"),
    (training(epochs=3), "training.iterations", "not both"),
    (training(iterations=10**400), "training.iterations", "large"),
    (training(batch_size=0), "training.batch_size", "1 or more"),
    (training(batch_size=10**9), "training.batch_size", "64 or less"),
    (training(batch_size=2, varlen_attention=True), "training.batch_size", "batch size 1 only"),
    (training(packing=False, varlen_attention=True), "training.packing", "Switch packing on"),
    (training(accumulation="sixteen"), "training.accumulation", "not a whole number"),
    (training(max_length=8), "training.max_length", "16 or more"),
    (training(warmup_ratio=1.0), "training.warmup_ratio", "0.5 or less"),
    (training(weight_decay=NAN), "training.weight_decay", "not a finite number"),
    (training(max_norm=0), "training.max_norm", "above 0"),
    (training(seed=-1), "training.seed", "0 or more"),
    (training(seed=2**32), "training.seed", "or less"),
    (training(schedule="sudden"), "training.schedule", "none of"),
    (training(precision="int8"), "training.precision", "none of"),
    (training(lora={"r": 10**9}), "training.lora.r", "256 or less"),
    (training(lora={"r": 0}), "training.lora.r", "1 or more"),
    (training(lora={"dropout": 1.0}), "training.lora.dropout", "0.9 or less"),
    (training(lora={"alpha": INFINITY}), "training.lora.alpha", "not a finite number"),
    (training(lora="big"), "training.lora", "named settings"),
    (training(optimiser="sgd"), "training.optimiser", "no setting of this name"),
    ({"method": "magic"}, "method", "none of"),
    ({"name": "   "}, "name", "Write something"),
    ({"name": "x" * 500}, "name", "120 characters"),
    ({"model": 7}, "model", "Give a text"),
    ({"mix": {"identity_count": -1}}, "mix.identity_count", "0 or more"),
    ({"mix": {"identity_count": 2.5}}, "mix.identity_count", "not a whole number"),
    ({"mix": {"identity": [], "general": []}}, "mix", "empty"),
    ({"mix": {"identity_count": 1_000_000, "general_count": 1_000_000}}, "mix", "too many"),
    ({"mix": {"identity": [{"question": "Who?", "answer": ""}]}}, "mix.identity.0.answer", "Write something"),
    ({"mix": {"identity": [{"question": "Who?"}]}}, "mix.identity.0.answer", "needed"),
    ({"mix": {"general_sets": ["klingon"]}}, "mix.general_sets.0", "none of"),
    ({"mix": {"variables": {"Maker": "x"}}}, "mix.variables.Maker", "Begin with a small letter"),
    ({"mix": {"variables": {"name": "x"}}}, "mix.variables.name", "{name} is filled"),
    ({"mix": {"variables": {"maker": ""}}}, "mix.variables.maker", "Write something"),
    ({"mix": {"files": [{"dataset": "faq", "sha256": "0" * 64}]}}, "mix.files.0.sha256", "no saved set “faq”"),
    ({"mix": {"files": [{"dataset": "faq", "sha256": "zz"}]}}, "mix.files.0.sha256", "not a hash"),
    ({"mix": {"identity_share": 1}}, "mix.identity_share", "below 1"),
    ({"mix": {"identity_share": 0.2, "general_share": 0.7}}, "mix.general_share", "add up to 90 %"),
    ({"mix": {"identity_share": 0.9999999, "identity_count": 0}}, "mix", "too many"),
    ({"mix": {"identity": "me"}}, "mix.identity", "Give a list"),
    ({"checkpoints": {"every": 0}}, "checkpoints.every", "1 or more"),
    ({"checkpoints": {"every": 21}}, "checkpoints.every", "20 or less"),
    ({"checkpoints": {"keep": 0}}, "checkpoints.keep", "at least 1"),
    ({"checkpoints": {"keep": -2}}, "checkpoints.keep", "-1 or more"),
    ({"checkpoints": {"max_new_tokens": 10**7}}, "checkpoints.max_new_tokens", "or less"),
    ({"checkpoints": {"evaluate": False, "keep_best": True}}, "checkpoints.keep_best", "Let the probes be answered"),
    ({"checkpoints": {"evaluate": False}, "stopping": {"at_sweet_spot": True}}, "stopping.at_sweet_spot", "not seen"),
    ({"probes": [{"question": "?"}], "stopping": {"at_sweet_spot": True}}, "stopping.at_sweet_spot", "identity probe"),
    (
        {"probes": [{"question": "?", "group": "identity"}], "stopping": {"at_sweet_spot": True}},
        "stopping.at_sweet_spot",
        "what leaks",
    ),
    ({"stopping": {"identity": 1.5}}, "stopping.identity", "or less"),
    ({"stopping": {"leak": -0.1}}, "stopping.leak", "0 or more"),
    ({"stopping": {"checkpoints": 0}}, "stopping.checkpoints", "1 or more"),
    ({"stopping": {"checkpoints": 11}}, "stopping.checkpoints", "10 or less"),
    ({"checkpoints": {"evaluate": "perhaps"}}, "checkpoints.evaluate", "true or false"),
    ({"checkpoints": {"evaluate": 0}}, "checkpoints.evaluate", "true or false"),
    ({"stopping": {"at_sweet_spot": 1.0}}, "stopping.at_sweet_spot", "true or false"),
    ({"probes": []}, "probes", "at least one probe"),
    ({"probes": [{"question": "?"}] * 65}, "probes", "64 fit"),
    ({"probes": [{"question": "", "group": "general"}]}, "probes.0.question", "Write something"),
    ({"probes": [{"question": "?", "group": "trick"}]}, "probes.0.group", "none of"),
    ({"name": "a\x00b"}, "name", "cannot be stored"),
    ({"mix": {"system": "a\x00b"}}, "mix.system", "cannot be stored"),
    ({"mix": {"variables": {"maker": "a\x00b"}}}, "mix.variables", "cannot be stored"),
    ({"mix": {"variables": {"a\x00b": "x"}}}, "mix.variables", "cannot be stored"),
    ({"mix": {"variables": {"maker": "\ud83d"}}}, "mix.variables.maker", "half a character"),
    ({"mix": {"variables": {"\ud83d": "x"}}}, "mix.variables", "half a character"),
    ({"probes": [{"question": "?", "reference": "\x00"}]}, "probes.0.reference", "cannot be stored"),
]


@pytest.mark.parametrize(
    ("changes", "field", "words"), BAD_VALUES, ids=[f"{number}-{bad[1]}" for number, bad in enumerate(BAD_VALUES)]
)
def test_a_bad_value_is_named_at_its_field(changes: dict[str, Any], field: str, words: str) -> None:
    """The field's own path, and a sentence that says what to give instead."""
    problems = problems_of(make_recipe_data(**changes))

    assert set(problems) == {field}
    assert words in problems[field]


def test_every_bad_value_is_named_at_once() -> None:
    """A form shows all that is wrong, not the first of it."""
    data = make_recipe_data(name="", training={"learning_rate": NAN, "lora": {"r": 0}}, checkpoints={"every": -5})

    assert set(problems_of(data)) == {"name", "training.learning_rate", "training.lora.r", "checkpoints.every"}


def test_a_missing_name_and_model_are_asked_for() -> None:
    """What has no default is needed."""
    assert problems_of({}).keys() == {"name", "model"}


def test_a_long_wrong_value_is_quoted_short() -> None:
    """A megabyte of nonsense does not come back in the error."""
    problems = problems_of(make_recipe_data(training={"seed": "9x" * 500_000}))

    assert len(problems["training.seed"]) < 200


def test_braces_in_texts_are_text() -> None:
    """A `{` in the system text, a question or an answer is a character like any other."""
    mix = {"system": "Answer in {json}: {", "identity": [{"question": "Who {?", "answer": "I am {name} }{"}]}

    recipe = Recipe.model_validate(make_recipe_data(mix=mix))

    assert recipe.mix.system == "Answer in {json}: {"


def test_a_good_recipe_is_read_as_it_is() -> None:
    """What the API takes is what the run stores."""
    data = make_recipe_data()

    stored = Recipe.model_validate(data).model_dump(mode="json")

    assert Recipe.model_validate(stored).model_dump(mode="json") == stored
    assert stored["training"]["learning_rate"] == data["training"]["learning_rate"]


def test_numbers_may_come_as_text() -> None:
    """A form sends text; `2e-4` and `0,0002` are different things, and only the first is a number."""
    recipe = Recipe.model_validate(make_recipe_data(training={"learning_rate": "2e-4", "seed": "3"}))

    assert (recipe.training.learning_rate, recipe.training.seed) == (2e-4, 3)
    assert problems_of(make_recipe_data(training={"learning_rate": "0,0002"})).keys() == {"training.learning_rate"}


def test_variables_must_not_make_pairs_too_long() -> None:
    """Neither one text nor all together; the field is named, and what is typed may be as long as ever."""
    name, full = "x" * 120, "y" * 8_000
    text = {"question": "{name}" * 200, "answer": "{name}" * 300}
    many = [{"question": "{name}" * 250, "answer": "a"}] * 600

    assert set(problems_of(make_recipe_data(mix={"name": name, "identity": [text]}))) == {"mix.identity.0.answer"}
    assert set(problems_of(make_recipe_data(mix={"name": name, "identity": many}))) == {"mix.identity"}
    assert problems_of(make_recipe_data(mix={"identity": [{"question": full, "answer": full}] * 1_000})) == {}


@given(text=st.text("ab{}", max_size=20), a=st.text("a{}b", min_size=1, max_size=9), name=st.text("{b", min_size=1))
def test_a_text_is_as_long_as_it_is_said_to_be_once_filled(text: str, a: str, name: str) -> None:
    """The length is told without filling it in."""
    mix = Mix.model_construct(identity=(Pair.model_construct(question=text, answer="{name}{a}"),),
                              variables={"a": a}, name=name)  # fmt: skip

    (pair,) = identity_of(mix)

    assert list(filled_lengths(mix)) == [(len(pair.question), len(pair.answer))]
