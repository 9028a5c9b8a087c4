"""
Greedy answers to many questions in one batch.

The same checkpoint gives the same words each time, and the words it would give if it were asked
one question at a time: rows are padded at the left and masked, and each is cut where it ends.
What the training needs afterwards - train mode, random numbers - is left as it was found.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from app.domain.trainer_events import AnswerGiven


@dataclass(frozen=True)
class Asking:
    """How questions become prompts, and where an answer ends."""

    prompts: tuple[str, ...]
    stop_ids: tuple[int, ...]
    max_new_tokens: int


def prompts_of(template: Mapping[str, Any], system: str, questions: Sequence[str]) -> tuple[str, ...]:
    """
    Lay questions out as the rows of the training are.

    Source:
        xtuner 0.2.0 `dataset/map_fns/template_map_fn.py`.
    """
    head = template["SYSTEM"].format(system=system) if system and template.get("SYSTEM") else ""
    return tuple(head + template["INSTRUCTION"].format(input=question, round=1) for question in questions)


def stop_ids_of(tokenizer: PreTrainedTokenizerBase, template: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the tokens that end an answer: the tokenizer's own end, and the template's where it is one token."""
    ids = {tokenizer.eos_token_id}
    for word in (template.get("SUFFIX", ""), *template.get("STOP_WORDS", ())):
        tokens = tokenizer.encode(word, add_special_tokens=False) if word else []
        if len(tokens) == 1:
            ids.add(tokens[0])
    return tuple(sorted(token for token in ids if token is not None))


def answer_all(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    asking: Asking,
    *,
    adapters: Sequence[str] = (),
) -> tuple[AnswerGiven, ...]:
    """
    Answer every prompt in one batch; the answers' order is that of the prompts.

    Args:
        adapters: with PEFT, the adapter of each prompt; that of the model as it is where none are given.
    """
    options = {"adapter_names": list(adapters)} if adapters else {}
    rows = [tokenizer(prompt).input_ids for prompt in asking.prompts]
    ids, mask = pad_left(rows, pad=asking.stop_ids[0], device=model.get_input_embeddings().weight.device)
    with _answering(model, asking), torch.no_grad():
        output = model.generate(input_ids=ids, attention_mask=mask, **options)
    return tuple(
        _cut(position, row, tokenizer, asking) for position, row in enumerate(output[:, ids.shape[1] :].tolist())
    )


def pad_left(rows: Sequence[Sequence[int]], *, pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return token ids and attention mask, each of shape (rows, longest row)."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask


@contextmanager
def undisturbed(model: PreTrainedModel | PeftModel) -> Iterator[None]:
    """Put the model into eval mode, and back; random numbers that are drawn meanwhile are given back too."""
    was_training = model.training
    devices = [model.device] if model.device.type == "cuda" else []
    model.eval()  # also pauses activation checkpointing, which works in train mode only
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        model.train(was_training)


@contextmanager
def _answering(model: PreTrainedModel | PeftModel, asking: Asking) -> Iterator[None]:
    """
    Put the model into the state for answering, and back.

    The model's own generation settings are set aside: a repetition penalty or a temperature in
    them would be mixed into any that are passed to `generate`.
    """
    settings = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=False,
        use_cache=True,
        max_new_tokens=asking.max_new_tokens,
        eos_token_id=list(asking.stop_ids),
        pad_token_id=asking.stop_ids[0],
    )
    try:
        with undisturbed(model):
            yield
    finally:
        model.generation_config = settings


def _cut(position: int, tokens: list[int], tokenizer: PreTrainedTokenizerBase, asking: Asking) -> AnswerGiven:
    """Cut one row of the batch at its first end; what follows is padding."""
    end = next((at for at, token in enumerate(tokens) if token in asking.stop_ids), None)
    ended: Literal["stop", "length"] = "length" if end is None else "stop"
    text = tokenizer.decode(tokens[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return AnswerGiven(probe=position, text=text.strip(), tokens=len(tokens[:end]), ended=ended)


def arithmetic_of(model: nn.Module) -> tuple[str, bool]:
    """Return the number format that a model computes in, and whether its weights are quantised."""
    for module in model.modules():
        compute = getattr(module, "compute_dtype", None)
        if type(module).__name__ == "Linear4bit" and compute is not None:
            return str(compute).removeprefix("torch."), True
    dtype = next(weight.dtype for weight in model.parameters() if weight.is_floating_point())
    return str(dtype).removeprefix("torch."), False
