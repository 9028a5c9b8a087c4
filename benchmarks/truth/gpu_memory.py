"""
What trainings really take of a GPU's memory, for the forecast's own figures to be held against.

Trains a few iterations with the real engine for each of many settings, on models of random weights
whose shapes are those of SmolLM2-135M, Qwen2-0.5B, InternLM2-1.8B and others: memory depends on
shapes alone. Several train at once; each process counts its own.

Run on a host with a GPU: `python -m benchmarks.truth.gpu_memory TOKENIZER_FOLDER RESULTS.jsonl`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

ROOT = Path(__file__).parents[2]
ITERATIONS = 6  # with an update at every second: what the optimizer keeps is there from the third on
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
SHAPES: dict[str, dict[str, Any]] = {
    "135M": {
        "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "intermediate_size": 1536, "vocab_size": 49152, "tie_word_embeddings": True,
    },
    "0.5B": {
        "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
        "intermediate_size": 4864, "vocab_size": 151936, "tie_word_embeddings": True,
    },
    "1.8B": {
        "hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 8,
        "intermediate_size": 8192, "vocab_size": 92544, "tie_word_embeddings": False,
    },
    "0.6B": {
        "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8,
        "head_dim": 128, "intermediate_size": 3072, "vocab_size": 151936, "tie_word_embeddings": True,
    },
    "1.1B": {
        "hidden_size": 2048, "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4,
        "intermediate_size": 5632, "vocab_size": 49280, "tie_word_embeddings": False,
    },
    "1.5B": {
        "hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
        "intermediate_size": 8960, "vocab_size": 151936, "tie_word_embeddings": True,
    },
}  # fmt: skip
Setting = tuple[str, str, int, int, bool, int, str, float]
FITTED: list[Setting] = [  # method, precision, tokens, batch, activation checkpointing, r, targets, dropout
    ("lora", "bfloat16", 2048, 1, True, 16, "all", 0.1),
    ("lora", "bfloat16", 2048, 1, False, 16, "all", 0.1),
    ("lora", "bfloat16", 512, 1, False, 64, "all", 0.1),
    ("lora", "bfloat16", 512, 4, True, 64, "all", 0.1),
    ("lora", "bfloat16", 1024, 2, False, 16, "all", 0.1),
    ("lora", "float16", 2048, 1, True, 64, "all", 0.1),
    ("lora", "float16", 1024, 1, False, 64, "all", 0.1),
    ("lora", "float32", 1024, 1, False, 16, "all", 0.1),
    ("lora", "float32", 512, 2, True, 64, "all", 0.1),
    ("qlora", "float16", 2048, 1, True, 64, "all", 0.1),
    ("qlora", "bfloat16", 2048, 1, False, 16, "all", 0.1),
    ("qlora", "bfloat16", 512, 4, True, 64, "all", 0.1),
    ("qlora", "float16", 1024, 2, False, 64, "all", 0.1),
    ("full", "bfloat16", 1024, 1, True, 64, "all", 0.1),
    ("full", "bfloat16", 512, 2, False, 64, "all", 0.1),
    ("full", "float16", 512, 1, True, 64, "all", 0.1),
    ("full", "float32", 512, 1, False, 64, "all", 0.1),
]
MORE: list[Setting] = [
    ("lora", "bfloat16", 4096, 1, True, 8, "all", 0.1),
    ("lora", "bfloat16", 4096, 1, False, 32, "all", 0.0),
    ("lora", "bfloat16", 1024, 8, False, 32, "attention", 0.1),
    ("lora", "float16", 1536, 2, False, 128, "query-value", 0.0),
    ("lora", "float32", 768, 3, False, 32, "all", 0.05),
    ("lora", "float32", 2048, 1, True, 8, "attention", 0.0),
    ("qlora", "bfloat16", 4096, 1, False, 8, "all", 0.1),
    ("qlora", "float16", 1024, 6, True, 32, "all", 0.0),
    ("qlora", "bfloat16", 768, 3, False, 32, "attention", 0.05),
    ("full", "bfloat16", 2048, 2, True, 64, "all", 0.1),
    ("full", "bfloat16", 1536, 1, False, 64, "all", 0.1),
    ("full", "float32", 1024, 2, False, 64, "all", 0.1),
]
HELD_OUT: list[Setting] = [  # on a model that the figures of `app.domain.memory` were not made of
    ("lora", "bfloat16", 2048, 2, True, 32, "all", 0.1),
    ("lora", "bfloat16", 1024, 3, False, 48, "all", 0.05),
    ("lora", "float16", 768, 4, False, 16, "attention", 0.0),
    ("lora", "bfloat16", 2048, 1, False, 96, "query-value", 0.1),
    ("lora", "float32", 512, 4, False, 16, "all", 0.1),
    ("qlora", "float16", 4096, 1, True, 64, "all", 0.1),
    ("qlora", "bfloat16", 1536, 2, False, 32, "all", 0.0),
    ("qlora", "float16", 2048, 1, False, 64, "attention", 0.1),
    ("full", "bfloat16", 2048, 1, True, 64, "all", 0.1),
    ("full", "bfloat16", 1024, 2, False, 64, "all", 0.1),
]
CASES = [(name, each) for each in FITTED for name in ("135M", "0.5B", "1.8B")]
CASES += [(name, each) for each in MORE for name in ("0.6B", "1.1B")]
CASES += [("1.5B", each) for each in HELD_OUT]
LARGE = {"1.8B", "1.1B", "1.5B"}
NAMES = ("method", "precision", "tokens", "batch", "checkpointing", "r", "targets", "dropout")


def main() -> None:
    """Train them all and write a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--at-once", type=int, default=6)
    parser.add_argument("--models", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="temper-memory-") as folder:
        home = Path(folder)
        _make_models(home, options.tokenizer, options.models)
        lock = Lock()

        def measure(case: tuple[str, Setting]) -> None:
            line = _measure(home, *case)
            with lock, options.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                print(line, flush=True)

        wanted = [case for case in CASES if case[0] in options.models]
        with ThreadPoolExecutor(options.at_once) as many, ThreadPoolExecutor(2) as few:  # two large ones fit together
            done = [(few if case[0] in LARGE else many).submit(measure, case) for case in wanted]
        for each in done:
            each.result()


def _make_models(home: Path, tokenizer: Path, names: list[str]) -> None:
    import torch  # noqa: PLC0415 - slow
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    for name in names:
        config = LlamaConfig(
            **SHAPES[name], max_position_embeddings=8192, bos_token_id=1, eos_token_id=2, pad_token_id=2
        )
        with torch.device("cuda"):
            model = LlamaForCausalLM(config).to(torch.bfloat16)
        model.save_pretrained(home / name)
        for file in TOKENIZER_FILES:
            if (tokenizer / file).exists():
                (home / name / file).write_bytes((tokenizer / file).read_bytes())
        del model
        torch.cuda.empty_cache()


def recipe_of(setting: Setting) -> dict[str, Any]:
    """Return a recipe that trains long enough for the worst moment to have come."""
    method, precision, tokens, batch, checkpointing, r, targets, dropout = setting
    return {
        "name": "memory",
        "model": "memory",
        "method": method,
        "mix": {"general_sets": ["english", "chinese"], "general_count": 60},
        "training": {
            "iterations": ITERATIONS, "accumulation": 2, "precision": precision, "max_length": tokens,
            "batch_size": batch, "activation_checkpointing": checkpointing,
            "lora": {"r": r, "targets": targets, "dropout": dropout},
        },
        "checkpoints": {"every": 1_000, "evaluate": False},
    }  # fmt: skip


def _measure(home: Path, name: str, setting: Setting) -> dict[str, Any]:
    from app.domain.mixes import count_rows, write_rows  # noqa: PLC0415
    from app.domain.recipes import Recipe  # noqa: PLC0415
    from app.domain.xtuner_config import render_config  # noqa: PLC0415

    recipe = Recipe.model_validate(recipe_of(setting))
    folder = Path(tempfile.mkdtemp(dir=home))
    rows = folder / "mix.jsonl"
    write_rows(recipe.mix, rows)
    config = render_config(
        recipe, model_path=str(home / name), template="qwen_chat", run_folder=str(folder), data_file=str(rows),
        rows=count_rows(recipe.mix).total, device="cuda",
    )  # fmt: skip
    (folder / "config.py").write_text(config.text, "utf-8")
    command = [sys.executable, "-m", "worker.engine.launch", "train", str(folder / "config.py")]
    more = ["--work-dir", str(folder), "--events", str(folder / "events.jsonl")]
    done = subprocess.run(
        [*command, *more], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "2"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    measured = [event for event in _events(folder / "events.jsonl") if event["kind"] == "metric"]
    values = dict(zip(NAMES, setting, strict=True))
    return {
        "model": name,
        **values,
        "bytes": max((event["memory_bytes"] for event in measured), default=None),
        "seconds": [round(event["seconds"], 4) for event in measured],
        "failed": None if done.returncode == 0 else (done.stdout + done.stderr)[-600:],
    }


def _events(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            yield json.loads(line)


if __name__ == "__main__":
    main()
