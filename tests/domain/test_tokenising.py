"""A model's tokenizer out of its folder, as transformers would load it."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import UnavailableError
from app.domain.tokenising import load_tokenizer
from tests.tokenizers_here import write_tokenizer


def test_texts_are_counted_without_what_a_tokenizer_puts_around_them(tmp_path: Path) -> None:
    """Bytes here; a special token in a text is one."""
    tokenizer = load_tokenizer(write_tokenizer(tmp_path, begins=True))

    assert tokenizer.lengths(["", "abc", "你", "a<|im_end|>b"]) == [0, 3, 3, 3]


def test_a_character_of_several_tokens_is_shown_once(tmp_path: Path) -> None:
    """Its first token has it; the text in pieces is the text."""
    tokens = load_tokenizer(write_tokenizer(tmp_path)).tokens("a你<|im_end|>").first

    assert "".join(token.text for token in tokens) == "a你<|im_end|>"
    assert [token.is_special for token in tokens] == [False] * 4 + [True]


@pytest.mark.parametrize(
    ("begins", "settings", "has_begin"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"bos_token": None}, False),
        (False, {"tokenizer_class": "LlamaTokenizer"}, True),
        (True, {"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": False}, False),
        (True, {"tokenizer_class": "Qwen2Tokenizer"}, False),
        (True, {"tokenizer_class": "GPTNeoXTokenizerFast"}, False),
        (True, {"tokenizer_class": "GPT2Tokenizer"}, True),
    ],
)
def test_a_row_begins_as_its_class_of_tokenizer_begins_a_text(
    tmp_path: Path, begins: bool, settings: dict[str, Any], has_begin: bool
) -> None:
    """Some classes decide it anew, whatever tokenizer.json says; for Qwen's xtuner never asks."""
    tokenizer = load_tokenizer(write_tokenizer(tmp_path, begins=begins, **settings))

    assert bool(tokenizer.begin) is has_begin
    assert tokenizer.end == (256,)


def test_tokens_that_only_the_settings_name_are_added(tmp_path: Path) -> None:
    """Transformers does so when it loads, so one of them is one token."""
    named = {"content": "<|tool|>", "special": False}
    folder = write_tokenizer(tmp_path, added_tokens_decoder={"300": named}, additional_special_tokens=["<|ask|>"])

    assert load_tokenizer(folder).lengths(["<|tool|>", "<|ask|>", "<|other|>"]) == [1, 1, 9]


def test_a_tokenizer_without_an_end_says_so(tmp_path: Path) -> None:
    """A template that needs one cannot be used with it."""
    assert load_tokenizer(write_tokenizer(tmp_path, eos_token=None)).end is None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"tokenizer_class": "ChatGLMTokenizer"}, "class “ChatGLMTokenizer”"),
        ({"tokenizer_class": ...}, "class “\\?”"),
        ({"tokenizer_class": "LlamaTokenizer", "add_prefix_space": True}, "made anew from tokenizer.model"),
    ],
)
def test_what_transformers_would_make_of_something_else_is_refused(
    tmp_path: Path, settings: dict[str, Any], sentence: str
) -> None:
    """A number that is nearly right is a wrong one."""
    folder = write_tokenizer(tmp_path, **settings)

    with pytest.raises(UnavailableError, match=sentence):
        load_tokenizer(folder)


@pytest.mark.parametrize(("text", "sentence"), [(None, "no tokenizer.json"), ("{", "cannot be read")])
def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path, text: str | None, sentence: str) -> None:
    """So is a file that is none, and a model of which there is no folder."""
    if text is not None:
        write_tokenizer(tmp_path)
        (tmp_path / "tokenizer.json").write_text(text)

    with pytest.raises(UnavailableError, match=sentence):
        load_tokenizer(tmp_path)
    with pytest.raises(UnavailableError, match="not on this machine"):
        load_tokenizer(tmp_path / "org" / "model")


def test_a_changed_folder_is_another_tokenizer(tmp_path: Path) -> None:
    """What is remembered of the old one is not taken for the new one."""
    before = load_tokenizer(write_tokenizer(tmp_path))
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "<|im_end|>"}))

    after = load_tokenizer(tmp_path)

    assert after.sha256 != before.sha256
    assert (before.end, after.end) == ((256,), (258,))
