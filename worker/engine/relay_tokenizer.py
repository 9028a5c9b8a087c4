"""
Make a tokenizer that needs no code out of InternLM2's `tokenizer.model`.

InternLM2 wraps a SentencePiece BPE model in code of its own. The same model written as a
`tokenizer.json` gives the same tokens.
"""

import json
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceProcessor
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, processors
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import SentencePieceExtractor

from app.domain.chat_templates import odd_parts
from worker.engine.failures import BadModelError

SPACE = "▁"  # how SentencePiece writes a space
UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
END_OF_TURN = "<|im_end|>"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write_tokenizer(source: Path, folder: Path) -> list[int]:
    """
    Write the tokenizer of the model at `source` to `folder`.

    Returns:
        The tokens that end an answer.

    Raises:
        BadModelError: there is no `tokenizer.model` and no `tokenizer.json`.
    """
    settings = _read(source / "tokenizer_config.json")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer(source, settings),
        bos_token=BEGIN,
        eos_token=END,
        unk_token=UNKNOWN,
        pad_token=END,
        chat_template=_chat_template(settings),
        clean_up_tokenization_spaces=False,
    )
    tokenizer.save_pretrained(folder)
    end = tokenizer.get_vocab().get(END_OF_TURN)
    return [tokenizer.eos_token_id, *([end] if end is not None else [])]


def _chat_template(settings: dict[str, Any]) -> str:
    """Return the model's own template where it is a plain one; an odd one is not handed on."""
    own = settings.get("chat_template")
    return own if isinstance(own, str) and own and not odd_parts(own) else CHAT_TEMPLATE


def _read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return loaded


def _tokenizer(source: Path, settings: dict[str, Any]) -> Tokenizer:
    if (source / "tokenizer.json").exists():
        return Tokenizer.from_file(str(source / "tokenizer.json"))
    if not (source / "tokenizer.model").exists():
        raise BadModelError("The folder has neither tokenizer.model nor tokenizer.json.")
    added = {int(token): str(entry["content"]) for token, entry in settings.get("added_tokens_decoder", {}).items()}
    return from_sentencepiece(source / "tokenizer.model", added)


def from_sentencepiece(file: Path, added: dict[int, str]) -> Tokenizer:
    """
    Read a SentencePiece BPE model.

    Args:
        added: Tokens, by id, that take the place of unused pieces, such as `<|im_start|>`.
    """
    pieces = SentencePieceProcessor(model_file=str(file))
    scores = [(pieces.id_to_piece(at), pieces.get_score(at)) for at in range(len(pieces))]
    vocabulary, merges = SentencePieceExtractor(str(file)).extract(scores)
    for token, content in added.items():
        vocabulary.pop(pieces.id_to_piece(token) if token < len(pieces) else "", None)
        vocabulary[content] = token
    model = BPE(vocab=vocabulary, merges=merges, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    has_prefix = pieces.encode("a", out_type=str)[0].startswith(SPACE)
    tokenizer.normalizer = normalizers.Sequence(
        [*([normalizers.Prepend(SPACE)] if has_prefix else []), normalizers.Replace(" ", SPACE)]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(content=" ", left=1)] if has_prefix else []),
        ]
    )
    special = (UNKNOWN, BEGIN, END, *added.values())
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in dict.fromkeys(special)]
    )
    begin = (BEGIN, vocabulary[BEGIN])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN} $B", special_tokens=[begin]
    )
    return tokenizer
