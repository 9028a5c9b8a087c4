"""xtuner's prompt templates, read out of its source."""

import pytest

from app.domain.errors import UnavailableError
from app.domain.prompt_templates import prompt_template, prompt_templates
from app.domain.xtuner_config import TEMPLATES


def test_every_template_that_a_config_may_name_is_read() -> None:
    """With a place for the question in each."""
    found = prompt_templates()

    assert set(TEMPLATES) <= found.keys()
    assert all("{input}" in found[name].instruction for name in TEMPLATES)


def test_a_turn_is_laid_out_as_xtuner_does() -> None:
    """The system text stands before the first question; braces of a question are text."""
    chatml = prompt_template("qwen_chat")

    assert chatml.lay_out("{a}", system="", turn=0) == "<|im_start|>user\n{a}<|im_end|>\n<|im_start|>assistant\n"
    assert chatml.lay_out("a", system="Be {kind}.", turn=0).startswith("<|im_start|>system\nBe {kind}.<|im_end|>\n")
    assert (chatml.suffix, chatml.suffix_ends, chatml.separator) == ("<|im_end|>", True, "\n")
    assert prompt_template("chatglm2").lay_out("a", system="", turn=1).startswith("[Round 2]")


def test_a_template_without_a_place_for_a_system_text_refuses_one() -> None:
    """Xtuner fails on it, so no number can be given."""
    with pytest.raises(UnavailableError, match="no place for a system text"):
        prompt_template("minicpm").lay_out("a", system="Be kind.", turn=0)


def test_an_unknown_template_is_refused() -> None:
    """By its name."""
    with pytest.raises(UnavailableError, match="“klingon”"):
        prompt_template("klingon")
