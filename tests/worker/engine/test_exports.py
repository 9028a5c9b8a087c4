"""Adapters and merged models made of a real checkpoint."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.worker.engine.conftest import PROBES, ROOT, Training, launch

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

XTUNER_CONVERT = """
import sys
from worker.engine.compat import make_compatible, patch_xtuner
make_compatible(with_bitsandbytes=False)
from xtuner.tools.model_converters import pth_to_hf
patch_xtuner()
pth_to_hf.main()
"""


def tensors(folder: Path) -> dict[str, Any]:
    """Read an adapter's tensors."""
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


def test_an_adapter_is_what_xtuner_would_have_made(trained: Training, tmp_path: Path) -> None:
    """Every tensor equals that of `xtuner convert pth_to_hf --safe-serialization`, to the last bit."""
    config, checkpoint = trained.folder / "config.py", trained.folder / "iter_4.pth"
    arguments = [str(config), str(checkpoint), str(tmp_path), "--safe-serialization"]
    command = [sys.executable, "-c", XTUNER_CONVERT, *arguments]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)

    ours, theirs = tensors(trained.folder / "adapters" / "iter_4"), tensors(tmp_path)

    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() and ours[name].dtype == theirs[name].dtype for name in ours)
    assert _config(trained.folder / "adapters" / "iter_4") == _config(tmp_path)


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    return {**config, "target_modules": sorted(config["target_modules"])}


def test_converting_later_gives_the_same_bytes(trained: Training, tmp_path: Path) -> None:
    """The adapter made while saving and the one made on request do not differ."""
    done = launch("convert", trained.folder / "config.py", trained.folder / "iter_4.pth", tmp_path / "adapter")

    assert done.returncode == 0, done.stderr
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        saved = trained.folder / "adapters" / "iter_4" / name
        assert (tmp_path / "adapter" / name).read_bytes() == saved.read_bytes()


def test_a_merged_model_answers_in_plain_transformers(trained: Training, small_model: Path, tmp_path: Path) -> None:
    """Loaded as any model is, and asked by its chat template, it says what the adapter says on its base."""
    done = launch("merge", small_model, trained.folder / "adapters" / "iter_4", tmp_path / "merged")

    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "merged" / "manifest.json").read_text("utf-8"))["files"]
    assert {file["name"] for file in manifest} >= {"model.safetensors", "tokenizer.json", "config.json"}
    weights = next(file for file in manifest if file["name"] == "model.safetensors")
    content = (tmp_path / "merged" / "model.safetensors").read_bytes()
    assert (weights["size_bytes"], weights["sha256"]) == (len(content), sha256(content).hexdigest())
    assert _answers(tmp_path / "merged") == _answers(small_model, adapter=trained.folder / "adapters" / "iter_4")


def _answers(folder: Path, adapter: Path | None = None) -> list[str]:
    """Ask a model as its user would: transformers, the chat template, one question at a time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    answers = []
    for question in PROBES:
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt"
        )
        output = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8)
        answers.append(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))
    return answers
