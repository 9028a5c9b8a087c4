"""The cases of the forecast's truth test: mixes, lengths, packing, batches, seeds, templates."""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.domain.datasets.store import dataset_file
from app.domain.presets import SMALL_ASSISTANT, TUTORIAL
from app.domain.recipes import Recipe

QUICK = 6  # the first so many: what a test runs


@dataclass(frozen=True)
class Case:
    """One recipe whose forecast is held against xtuner's own dataset."""

    name: str
    mix: Callable[[], dict[str, Any]]
    training: dict[str, Any] = field(default_factory=dict)
    template: str = "qwen_chat"

    def recipe(self) -> Recipe:
        """Make the recipe; saved sets are written first."""
        data = SMALL_ASSISTANT.recipe.model_dump(mode="json")
        data["mix"] = self.mix()
        data["training"] |= {"iterations": None, "epochs": 2, "max_length": 256} | self.training
        return Recipe.model_validate(data)


def tutorial(n: int, m: int) -> Callable[[], dict[str, Any]]:
    """Return the tutorial's mix for some n and m."""
    return lambda: TUTORIAL.recipe.mix.model_dump(mode="json") | {"identity_count": n, "general_count": m}


def small(**changes: Any) -> Callable[[], dict[str, Any]]:  # noqa: ANN401 - settings of a mix
    """Return the small assistant's mix with changes."""
    return lambda: SMALL_ASSISTANT.recipe.mix.model_dump(mode="json") | changes


def saved(rows: int, **kind: Any) -> Callable[[], dict[str, Any]]:  # noqa: ANN401 - of `_conversations`
    """Return a mix of one saved set of made-up conversations."""
    return lambda: {"files": [{"dataset": "made up", "sha256": save(_conversations(rows, **kind))}]}


def small_with_set(**much: float) -> Callable[[], dict[str, Any]]:
    """Return the small assistant's mix, with a system text, beside a saved set."""

    def mix() -> dict[str, Any]:
        files = [{"dataset": "made up", "sha256": save(_conversations(333)), **much}]
        return small(files=files, system="Be kind.")()

    return mix


def save(rows: Iterator[dict[str, Any]]) -> str:
    """Save rows as one version of a set and return its hash."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    sha256 = hashlib.sha256(text).hexdigest()
    dataset_file(sha256).parent.mkdir(parents=True, exist_ok=True)
    dataset_file(sha256).write_bytes(text)
    return sha256


def _conversations(
    rows: int, *, turns: int = 1, longest: int = 30, learnt: float = 1.0, seed: int = 1
) -> Iterator[dict[str, Any]]:
    """
    Yield conversations in English and Chinese.

    Args:
        turns: at most so many in a row.
        longest: words of a text.
        learnt: share of the answers that carry loss.
    """
    drawn = random.Random(seed)

    def text() -> str:
        signs, words = (
            "我们可以帮助您回答问题并提供有用的建议",
            ("river", "mill", "bread", "<|im_end|>", "naïve", "🦊", "{x}"),
        )
        if drawn.random() < 0.3:  # noqa: PLR2004 - about a third is Chinese
            return "".join(drawn.choices(signs, k=drawn.randint(0, longest)))
        return " ".join(drawn.choices(words, k=drawn.randint(0, longest)))

    for _ in range(rows):
        said = []
        for turn in range(drawn.randint(1, turns)):
            system = "Be kind. 请友善。" if turn == 0 and drawn.random() < 0.2 else ""  # noqa: PLR2004 - some have one
            said.append(
                {"system": system, "input": text(), "output": text(), "output_with_loss": drawn.random() < learnt}
            )
        yield {"conversation": said}


def _dates(rows: int) -> Iterator[dict[str, Any]]:
    """Yield rows whose questions and answers a reader of JSON may take for times."""
    for row in range(rows):
        text = f"{1500 + row}-12-10"
        yield {"conversation": [{"system": "", "input": text, "output": text, "output_with_loss": True}]}


TEMPLATES = ("default", "internlm2_chat", "llama2_chat", "llama3_chat", "chatglm2", "gemma", "vicuna", "deepseek_v2")

CASES: Sequence[Case] = (
    Case("small assistant", small(), {"max_length": 128}),
    Case("multi-turn, some answers without loss", saved(700, turns=4, learnt=0.6), {"max_length": 128}),
    Case("one row more than a lot", saved(1_001), {"batch_size": 3}, "llama3_chat"),
    Case("rows of their own length", saved(500, turns=2), {"packing": False, "batch_size": 4, "max_length": 64}),
    Case("all shorter than a pack", small(identity_count=0, general_sets=[]), {"max_length": 2_048}),
    Case("answers that look like dates", lambda: {"files": [{"dataset": "dates", "sha256": save(_dates(400))}]}),
    Case("tutorial, n 10,000", tutorial(10_000, 0), {"max_length": 1_024}, "internlm2_chat"),
    Case("tutorial, n 10,000, m 1,000", tutorial(10_000, 1_000), {"max_length": 1_024}, "internlm2_chat"),
    Case("tutorial, n 2,000, m 5,000", tutorial(2_000, 5_000), {"max_length": 2_048, "batch_size": 2}),
    Case("tutorial, n 1,999: two whole lots", tutorial(1_999, 0), {"max_length": 2_048}),
    Case("tutorial, n 999", tutorial(999, 0), {"max_length": 2_048}),
    Case("tutorial, n 30, m 0", tutorial(30, 0), {"max_length": 32_768}),
    Case("cut: 32 tokens", small(identity_count=300), {"max_length": 32}),
    Case("cut: 16 tokens, nearly all left out", saved(600, longest=8), {"max_length": 16}),
    Case("no packing, 24 tokens", saved(600), {"max_length": 24, "packing": False}),
    Case("no packing, batch 64", small(identity_count=700), {"packing": False, "batch_size": 64}),
    Case("few answers learnt", saved(2_500, turns=3, learnt=0.05), {"max_length": 200, "batch_size": 8}),
    Case("999 rows", saved(999), {"max_length": 300}),
    Case("1,000 rows", saved(1_000), {"max_length": 300}),
    Case("2,000 rows, long packs", saved(2_000, longest=8), {"max_length": 8_192}),
    Case("2,001 rows, long packs", saved(2_001, longest=8), {"max_length": 8_192}),
    Case("5,000 rows, seed 0", saved(5_000), {"max_length": 777, "seed": 0, "batch_size": 5}),
    Case("5,000 rows, seed 4294967295", saved(5_000), {"max_length": 777, "seed": 4_294_967_295, "batch_size": 5}),
    Case("5,000 rows, seed 12345", saved(5_000, turns=2), {"max_length": 511, "seed": 12_345, "batch_size": 7}),
    Case("45,000 rows, two processes", saved(45_000, longest=12), {"max_length": 1_024, "batch_size": 2}),
    Case("45,000 rows, two processes, cut", saved(45_000, longest=12, seed=2), {"max_length": 40, "seed": 9}),
    Case("61,000 rows, three processes", saved(61_000, longest=6), {"max_length": 2_048, "batch_size": 3}),
    Case("41,000 rows one by one", saved(41_000, longest=6), {"packing": False, "batch_size": 6, "max_length": 96}),
    Case(
        "a saved set by its share",
        small_with_set(share=0.4),
    ),
    Case(
        "a saved set three times",
        small_with_set(count=2),
    ),
    *(
        Case(f"template {name}", saved(800, turns=3, seed=7), {"max_length": 256, "batch_size": 2}, name)
        for name in TEMPLATES
    ),
)
