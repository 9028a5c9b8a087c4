"""The forecast against the libraries that train: xtuner's datasets, transformers' tokenizers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.domain.tokenising import load_tokenizer
from benchmarks.truth.cases import CASES, QUICK
from benchmarks.truth.lengths import measure_lengths
from tests.tokenizers_here import write_tokenizer

pytestmark = pytest.mark.engine

TEXTS = [
    "",
    "x",
    "Hello, world!  ",
    " a",
    "你好，世界",
    "🦊 naïve",
    "a<|im_end|>b <|tool|>",
    "<|ask|>",
    "\n\n<s></s><unk>",
]
TOOL = {
    "content": "<|tool|>",
    "lstrip": True,
    "normalized": False,
    "rstrip": False,
    "single_word": False,
    "special": False,
}
KINDS: dict[str, tuple[bool, dict[str, Any]]] = {
    "plain": (True, {}),
    "plain-without-beginning": (False, {}),
    "no-beginning-named": (True, {"bos_token": None}),
    "added": (False, {"added_tokens_decoder": {"300": TOOL}, "additional_special_tokens": ["<|ask|>"]}),
    "older-form": (True, {"added_tokens_decoder": ...}),
    "with-a-space-before": (False, {"add_prefix_space": True}),
    "split": (False, {"split_special_tokens": True}),
    "llama": (False, {"tokenizer_class": "LlamaTokenizer", "unk_token": "<unk>", "bos_token": "<s>"}),
    "llama-without": (True, {"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": False}),
    "gemma": (False, {"tokenizer_class": "GemmaTokenizer"}),
    "qwen": (True, {"tokenizer_class": "Qwen2Tokenizer", "bos_token": ...}),
    "gpt2": (True, {"tokenizer_class": "GPT2Tokenizer"}),
    "neox": (False, {"tokenizer_class": "GPTNeoXTokenizerFast"}),
}
ASK = """
import json, sys
from worker.engine.compat import make_compatible, patch_xtuner
make_compatible(with_bitsandbytes=False)
import xtuner.dataset
patch_xtuner()
from transformers import AutoTokenizer
from xtuner.dataset import utils
texts = json.loads(sys.argv[1])
for folder in sys.argv[2:]:
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, padding_side="right")
    lengths = [len(tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    print(json.dumps([lengths, *utils.get_bos_eos_token_ids(tokenizer)]))
"""


@pytest.mark.usefixtures("home")
def test_samples_and_tokens_are_those_of_xtuner_s_own_dataset(small_model: Path, tmp_path: Path) -> None:
    """Packed and not, cut, multi-turn, over the border of a lot; docs/forecast.md has many more."""
    for case, length in zip(CASES, measure_lengths(CASES[:QUICK], small_model, tmp_path), strict=False):
        assert length.came == {**length.came, **length.forecast}, case.name


def test_tokenizers_are_those_that_transformers_makes_of_the_same_folder(tmp_path: Path) -> None:
    """Of each class: as many tokens for each text, and the same beginning and end of a row."""
    folders = [write_tokenizer(tmp_path / name, begins=begins, **more) for name, (begins, more) in KINDS.items()]
    command = [sys.executable, "-c", ASK, json.dumps(TEXTS), *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    for folder, (lengths, begin, end) in zip(folders, said, strict=True):
        tokenizer = load_tokenizer(folder)
        found = (tokenizer.lengths(TEXTS), list(tokenizer.begin), list(tokenizer.end or ()))
        assert found == (lengths, begin, end), folder.name
