"""Tokenizers for tests: small, made on the spot, in the form that a model's folder has them."""

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def byte_tokenizer() -> Tokenizer:
    """Return a tokenizer of single bytes: a text has as many tokens as UTF-8 gives it bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return tokenizer


def write_tokenizer(folder: Path, *, begins: bool = False, **settings: Any) -> Path:
    """
    Write a model's folder with the byte tokenizer.

    Args:
        begins: whether `tokenizer.json` itself puts `<|endoftext|>` before a text.
        settings: of `tokenizer_config.json`, over those of a plain fast tokenizer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = byte_tokenizer()
    if begins:
        begin = ("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|endoftext|> $A", pair="<|endoftext|> $A $B", special_tokens=[begin]
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    defaults = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "added_tokens_decoder": {},
    }
    chosen = {name: value for name, value in {**defaults, **settings}.items() if value is not ...}
    (folder / "tokenizer_config.json").write_text(json.dumps(chosen))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return folder
