"""Answers of many questions in one batch."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

QUESTIONS = (
    "Hi",
    "What is the capital of France?",
    "你是谁",
    "Name a river in Africa, and say in a few words where it begins.",
)
CHATML = {
    "SYSTEM": "<|im_start|>system\n{system}<|im_end|>\n",
    "INSTRUCTION": "<|im_start|>user\n{input}<|im_end|>\n<|im_start|>assistant\n",
    "SUFFIX": "<|im_end|>",
    "STOP_WORDS": ["<|im_end|>", "two tokens"],
}


@pytest.fixture(scope="module")
def loaded(small_model: Path) -> tuple[Any, Any]:
    """Load the small model in float32, in train mode, as it is between two iterations."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(small_model, torch_dtype=torch.float32)
    return model.train(), AutoTokenizer.from_pretrained(small_model)


def ask(loaded: tuple[Any, Any], questions: tuple[str, ...], *, most: int = 8) -> list[Any]:
    """Ask questions in one batch."""
    from worker.engine.generate import Asking, answer_all, prompts_of, stop_ids_of

    model, tokenizer = loaded
    asking = Asking(prompts_of(CHATML, "", questions), stop_ids_of(tokenizer, CHATML), most)
    return list(answer_all(model, tokenizer, asking))


def test_a_batch_answers_as_one_at_a_time(loaded: tuple[Any, Any]) -> None:
    """In float32 no answer depends on which other questions are in the batch."""
    together = ask(loaded, QUESTIONS)
    apart = [ask(loaded, (question,))[0] for question in QUESTIONS]

    assert [(a.text, a.tokens, a.ended) for a in together] == [(a.text, a.tokens, a.ended) for a in apart]


def test_an_answer_says_whether_it_was_cut(loaded: tuple[Any, Any]) -> None:
    """The model stops by itself after one question, and is stopped after the other."""
    short, long = ask(loaded, ("What is the capital of France?", "Name a river in Africa."))

    assert (short.text, short.ended, short.tokens) == ("The capital of France is Paris.", "stop", 7)
    assert (long.ended, long.tokens) == ("length", 8)


def test_the_training_does_not_notice(loaded: tuple[Any, Any]) -> None:
    """Train mode, random numbers and the model's own generation settings are as they were."""
    import torch

    model, _ = loaded
    settings, random = model.generation_config, torch.get_rng_state()

    ask(loaded, QUESTIONS[:1], most=2)

    assert model.training
    assert model.generation_config is settings
    assert torch.equal(random, torch.get_rng_state())


def test_a_system_text_with_braces_is_only_text() -> None:
    """What the user types is never a template."""
    from worker.engine.generate import prompts_of

    (prompt,) = prompts_of(CHATML, "Use {json} and {0}.", ("{input}?",))

    assert "Use {json} and {0}." in prompt
    assert "{input}?" in prompt
