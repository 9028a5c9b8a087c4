"""A recipe that comes out of a file as it went into it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import card_files
from app.domain.card_files import read_recipe_file, recipe_block, recipe_in_card
from app.domain.errors import InvalidError
from app.domain.presets import PRESETS
from app.domain.recipes import Recipe
from tests.factories import make_recipe

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=60).filter(
    str.strip
)
NASTY = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>",
    "a\u2028\u2029b",
    "&lt;/script&gt;",
    "{name}\\u003c",
    "\U0001f469‍\U0001f52c עברית",
]


def card_of(recipe: Recipe) -> str:
    """Put a recipe into a page, as a card does."""
    return (
        f'<!doctype html><p>hello<script type="application/json" id="recipe">\n{recipe_block(recipe)}\n</script><p>end'
    )


@settings(max_examples=60)
@given(TEXTS | st.sampled_from(NASTY), TEXTS | st.sampled_from(NASTY))
def test_whatever_a_recipe_says_comes_back_from_its_card(question: str, answer: str) -> None:
    """Also what would end a script, and the block itself holds no angle bracket at all."""
    recipe = make_recipe(mix={"identity": [{"question": question, "answer": answer}]})

    block = recipe_block(recipe)

    assert not set(block) & set("<>&\u2028\u2029")
    assert Recipe.model_validate(json.loads(block)) == recipe
    assert Recipe.model_validate(recipe_in_card(card_of(recipe))) == recipe


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.key)
def test_every_preset_comes_back(preset: object) -> None:
    """With every setting that has no value, too."""
    recipe = preset.recipe  # type: ignore[attr-defined]

    assert Recipe.model_validate(read_recipe_file(card_of(recipe).encode())) == recipe


def test_a_file_is_read_by_what_it_holds() -> None:
    """JSON with or without a mark before it, TOML, and a card."""
    assert read_recipe_file(b'\xef\xbb\xbf {"name": "x"}') == {"name": "x"}
    assert read_recipe_file('name = "阿达"\n[mix]\nidentity_count = 3'.encode()) == {
        "name": "阿达",
        "mix": {"identity_count": 3},
    }


def test_only_the_first_data_block_counts() -> None:
    """Another one, or one of another kind, is as if it were not there."""
    other = '<script id="recipe">{"name": "code"}</script><script type="application/json" id="x">{}</script>'
    card = card_of(make_recipe(name="first"))

    assert recipe_in_card(other + card + card_of(make_recipe(name="second")))["name"] == "first"


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00",
        b"<html></html>",
        b"{",
        b"[1, 2]",
        b"name =",
        b"",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"{}",
        b'<script type="application/json" id="recipe">[1]</script>',
    ],
    ids=[
        "binary",
        "no block",
        "broken",
        "list",
        "broken toml",
        "empty",
        "deep list",
        "deep",
        "nothing",
        "card of a list",
    ],
)
def test_what_is_no_recipe_is_refused_in_words(content: bytes) -> None:
    """Whatever it is, the reader is told and nothing breaks."""
    with pytest.raises(InvalidError) as refused:
        read_recipe_file(content)

    assert [error.field for error in refused.value.fields] == ["file"]


def test_a_file_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused by its size, before anything is made of it."""
    monkeypatch.setattr(card_files, "LARGEST_BYTES", 10)

    with pytest.raises(InvalidError) as refused:
        read_recipe_file(b'{"name": "x"}')

    assert "too large" in str(refused.value.fields[0].message)
