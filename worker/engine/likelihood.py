"""
How likely a model finds given answers: mean negative log-likelihood, teacher-forced in one batch.

A row has the tokens that the training gives it. Only those of the answer and of the template's end
count; those of the question and the padding do not. What the training needs afterwards is left as
it was found, and a measurement that fails costs the run nothing but the number.
"""

import inspect
import math
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from worker.engine.generate import pad_left, prompts_of, undisturbed

PADDING = 0  # any token will do: it is masked
MOST_LOGIT_BYTES = 1 << 30  # at once: where long answers would need more, the batch is taken in parts
FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Row:
    """One pair in tokens."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    """With what ends it."""


def rows_of(
    pairs: Iterable[Sequence[str]], *, tokenizer: PreTrainedTokenizerBase, template: Mapping[str, Any], system: str
) -> tuple[Row, ...]:
    """
    Lay out pairs of question and answer as the rows of the training are.

    Source:
        xtuner 0.2.0 `dataset/map_fns/template_map_fn.py` and `dataset/utils.py`, `encode_fn`.
    """
    end = [] if template.get("SUFFIX_AS_EOS") else [tokenizer.eos_token_id]
    return tuple(
        Row(
            tuple(tokenizer(prompts_of(template, system, [question])[0]).input_ids),
            (*tokenizer.encode(answer + template.get("SUFFIX", ""), add_special_tokens=False), *end),
        )
        for question, answer in pairs
    )


def measure(model: PreTrainedModel, groups: Mapping[str, Sequence[Row]]) -> dict[str, float | None]:
    """
    Measure groups of rows in one batch.

    Returns:
        By group, the mean over the tokens of its answers, in nats; None for a group without rows, where
        the number is not finite, and where measuring failed.
    """
    rows = [row for group in groups.values() for row in group]
    try:
        sums = iter(_negative_log_likelihoods(model, rows) if rows else ())
    except Exception:  # noqa: BLE001 - whatever it is, out of memory above all, the run goes on without the number
        print("the likelihoods could not be measured:", flush=True)  # noqa: T201 - for the log
        traceback.print_exc()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return dict.fromkeys(groups)
    return {name: _mean([next(sums) for _ in group], group) for name, group in groups.items()}


def _mean(sums: Sequence[float], rows: Sequence[Row]) -> float | None:
    tokens = sum(len(row.answer) for row in rows)
    mean = math.fsum(sums) / tokens if tokens else math.nan
    return mean if math.isfinite(mean) else None


def _negative_log_likelihoods(model: PreTrainedModel, rows: Sequence[Row]) -> list[float]:
    """Return each row's sum over the tokens of its answer."""
    last = max(len(row.answer) for row in rows) + 1
    most = max(1, MOST_LOGIT_BYTES // (last * model.config.vocab_size * FLOAT32_BYTES))
    sums = []
    with undisturbed(model), torch.no_grad():
        for start in range(0, len(rows), most):
            sums += _sums(model, rows[start : start + most], last=last)
    return sums


def _sums(model: PreTrainedModel, rows: Sequence[Row], *, last: int) -> list[float]:
    device = model.get_input_embeddings().weight.device
    ids, mask = pad_left([row.prompt + row.answer for row in rows], pad=PADDING, device=device)
    return [
        # one row at a time: the numbers of all in float32 would take as much memory as a step of the training
        functional.cross_entropy(
            said[-len(row.answer) - 1 : -1].float(), wanted[-len(row.answer) :], reduction="sum"
        ).item()
        for row, said, wanted in zip(rows, _logits(model, ids, mask, last=last), ids, strict=True)
    ]


def _logits(model: PreTrainedModel, ids: Tensor, mask: Tensor, *, last: int) -> Tensor:
    """Return the logits of the last positions, of shape (rows, last or more, vocabulary)."""
    positions = (mask.cumsum(-1) - 1).clamp(min=0)  # padding at the left must not shift what follows
    can_keep = "logits_to_keep" in inspect.signature(model.forward).parameters
    kept = {"logits_to_keep": last} if can_keep else {}
    logits: Tensor = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, **kept).logits
    return logits
