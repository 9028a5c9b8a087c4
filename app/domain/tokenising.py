"""
A model's own tokenizer, without transformers: what `AutoTokenizer` makes of the files in its folder.

Reads `tokenizer.json` with the library that transformers itself uses, and does to it what the fast
classes of transformers do when they load: tokens that the settings name are added, and some classes
decide anew whether a text begins with a token. Does not cover tokenizers that transformers builds
from other files (`tokenizer.model`, code of the model's own) or classes that are not listed here:
these are refused, since a number that is nearly right is a wrong one.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import AddedToken, Tokenizer, pre_tokenizers

from app.domain.errors import UnavailableError
from app.domain.messages import Message, message

TOKENIZER_FILE, SETTINGS_FILE = "tokenizer.json", "tokenizer_config.json"
FILES = (TOKENIZER_FILE, SETTINGS_FILE, "special_tokens_map.json", "added_tokens.json")
LOADED = 4  # tokenizers kept ready; one of 150,000 words takes about 200 MB
SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True)
class _Kind:
    """
    What one of transformers' classes does beside reading `tokenizer.json`.

    Source:
        transformers 4.57.6, the classes' own `__init__`.
    """

    defaults: Mapping[str, str]
    """Special tokens where the settings name none."""
    begins: bool | None = None
    """Whether a text begins with a token unless the settings say otherwise; None: `tokenizer.json` says it."""
    prefix: bool = False
    """Whether `add_prefix_space` makes it be built from other files."""
    has_beginning: bool = True
    """Whether xtuner looks for a token that begins a row at all."""


_END = "<|endoftext|>"
_LLAMA = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
_GEMMA = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"}
_COHERE = {"bos_token": "<BOS_TOKEN>", "eos_token": "<|END_OF_TURN_TOKEN|>", "unk_token": "<UNK>"}
_QWEN = {"eos_token": _END, "unk_token": _END, "pad_token": _END}
_GPT = {"bos_token": _END, "eos_token": _END, "unk_token": _END}
_KINDS = {
    "PreTrainedTokenizer": _Kind({}),
    "LlamaTokenizer": _Kind(_LLAMA, begins=True, prefix=True),
    "GemmaTokenizer": _Kind(_GEMMA, begins=True),
    "CohereTokenizer": _Kind(_COHERE, begins=True, prefix=True),
    "Qwen2Tokenizer": _Kind(_QWEN, has_beginning=False),
    "GPT2Tokenizer": _Kind(_GPT),
    "CodeGenTokenizer": _Kind(_GPT),
    "GPTNeoXTokenizer": _Kind(_GPT, begins=False),
}


class TokenText(NamedTuple):
    """One token: the text that it stands for, and whether it is one of the special ones."""

    text: str
    is_special: bool


class TokenTexts(NamedTuple):
    """The first tokens of a text, and how many it has."""

    first: Sequence[TokenText]
    total: int


@dataclass(frozen=True, eq=False)
class TextTokenizer:
    """A loaded tokenizer, and how xtuner begins and ends a row with it."""

    sha256: str
    """Of all files that it was made from."""
    begin: tuple[int, ...]
    end: tuple[int, ...] | None
    """None: it has no end of its own."""
    _inner: Tokenizer
    _special: frozenset[int]

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Count the tokens of each text, on all cores."""
        return [len(each) for each in self._inner.encode_batch_fast(list(texts), add_special_tokens=False)]

    def tokens(self, text: str, *, most: int = sys.maxsize) -> TokenTexts:
        """Return a text token by token, the first `most`; of a character that takes several, the first has it."""
        found = self._inner.encode(text, add_special_tokens=False)
        total = len(found)
        if most < total:
            found.truncate(most)
        pieces, shown = [], 0
        for token, (start, stop) in zip(found.ids, found.offsets, strict=True):
            pieces.append(TokenText(text[max(start, shown) : stop], token in self._special))
            shown = max(shown, stop)
        return TokenTexts(pieces, total)

    def names(self, ids: Sequence[int]) -> TokenTexts:
        """Return tokens that stand for no text of a row by their names."""
        return TokenTexts([TokenText(self._inner.id_to_token(each) or "", is_special=True) for each in ids], len(ids))


def load_tokenizer(folder: Path) -> TextTokenizer:
    """
    Load the tokenizer of a model; one that was loaded before is kept ready.

    Raises:
        UnavailableError: transformers would make it from something else than is read here.
    """
    if not folder.is_dir():
        raise _refuse(message("The model's files are not on this machine, so its tokenizer cannot be read."))
    if not (folder / TOKENIZER_FILE).is_file():
        raise _refuse(message("The model's folder has no tokenizer.json, so its tokens cannot be counted."))
    return _load(folder, tuple(_state_of(folder / name) for name in FILES))


def _state_of(path: Path) -> tuple[int, int]:
    try:
        facts = path.stat()
    except OSError:
        return (0, 0)
    return (facts.st_size, facts.st_mtime_ns)


def _refuse(text: Message) -> UnavailableError:
    return UnavailableError(text)


@lru_cache(maxsize=LOADED)
def _load(folder: Path, states: tuple[tuple[int, int], ...]) -> TextTokenizer:  # noqa: ARG001 - changed files are read
    settings = _settings_of(folder)
    name = str(settings.get("tokenizer_class") or _read(folder / "config.json").get("tokenizer_class") or "")
    kind = _KINDS.get(name.removesuffix("Fast"))
    if kind is None:
        raise _refuse(message("Tokens are not counted for tokenizers of the class “{name}”.", name=name or "?"))
    if kind.prefix and settings.get("add_prefix_space"):
        raise _refuse(
            message(
                "This tokenizer is made anew from tokenizer.model whenever it is loaded, because its "
                "settings say add_prefix_space. Its tokens are not counted."
            )
        )
    try:
        inner = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    except Exception as error:
        raise _refuse(message("tokenizer.json cannot be read: {problem}.", problem=str(error)[:200])) from error
    inner.no_truncation()
    inner.no_padding()
    special = _special_tokens(settings, kind)
    _add_tokens(inner, settings, special)
    _set_prefix_space(inner, settings)
    inner.encode_special_tokens = bool(settings.get("split_special_tokens", False))
    begin, end = _ends_of(inner, settings, special, kind)
    known = inner.get_added_tokens_decoder()
    return TextTokenizer(_hash_of(folder), begin, end, inner, frozenset(at for at in known if known[at].special))


def _hash_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in FILES:
        path = folder / name
        digest.update(name.encode() + b"\0" + (path.read_bytes() if path.is_file() else b"") + b"\0")
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _settings_of(folder: Path) -> dict[str, Any]:
    """Return a tokenizer's settings; those of older files are in several."""
    settings = _read(folder / SETTINGS_FILE)
    if "added_tokens_decoder" not in settings:
        settings |= _read(folder / "special_tokens_map.json")
        added = _read(folder / "added_tokens.json")
        special = {_text_of(settings.get(key)) for key in SPECIAL}
        settings["added_tokens_decoder"] = {
            str(at): {"content": token, "normalized": token not in special, "special": token in special}
            for token, at in added.items()
        }
    return settings


def _text_of(token: Any) -> str | None:  # noqa: ANN401 - a text, or an object with one
    return token.get("content") if isinstance(token, dict) else token


def _special_tokens(settings: Mapping[str, Any], kind: _Kind) -> dict[str, str]:
    named = {key: _text_of(settings.get(key, kind.defaults.get(key))) for key in SPECIAL}
    return {key: token for key, token in named.items() if token}


def _add_tokens(inner: Tokenizer, settings: Mapping[str, Any], special: Mapping[str, str]) -> None:
    """Add what the settings name and `tokenizer.json` has not, or has with other marks."""
    there = inner.get_added_tokens_decoder()
    marks, words = {repr(token) for token in there.values()}, {token.content for token in there.values()}
    listed = sorted(settings.get("added_tokens_decoder", {}).items(), key=lambda entry: int(entry[0]))
    wanted = [AddedToken(**_plain(entry)) for _, entry in listed]
    wanted = [token for token in wanted if repr(token) not in marks]
    words |= {token.content for token in wanted}
    every = [*special.values(), *_more_special(settings)]
    wanted += [AddedToken(token, special=True) for token in dict.fromkeys(every) if token not in words]
    for token in wanted:
        token.special = token.special or token.content in every
    if wanted:
        inner.add_tokens(wanted)


def _plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    names = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    return {name: entry[name] for name in names if name in entry}


def _more_special(settings: Mapping[str, Any]) -> Iterator[str]:
    named = settings.get("extra_special_tokens")
    more = named.values() if isinstance(named, dict) else named or ()
    for token in (*(settings.get("additional_special_tokens") or ()), *more):
        text = _text_of(token)
        if text:
            yield text


def _set_prefix_space(inner: Tokenizer, settings: Mapping[str, Any]) -> None:
    """Give the splitter the setting of whether texts begin with a space, as far as it has one."""
    wanted = settings.get("add_prefix_space", False)
    try:
        state = json.loads(inner.pre_tokenizer.__getstate__())
        if isinstance(wanted, bool) and state.get("add_prefix_space", wanted) != wanted:
            splitter = getattr(pre_tokenizers, state.pop("type"))
            inner.pre_tokenizer = splitter(**{**state, "add_prefix_space": wanted})
    except Exception:  # noqa: BLE001, S110 - transformers leaves such a splitter as it is, too
        pass


def _ends_of(
    inner: Tokenizer, settings: Mapping[str, Any], special: Mapping[str, str], kind: _Kind
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """
    Return the tokens that xtuner puts before and behind a row.

    Source:
        xtuner 0.2.0 `dataset/utils.py: get_bos_eos_token_ids`, and what `worker/engine/compat.py` makes of it.
    """
    begin, end = (_id_of(inner, special.get(key), special) for key in ("bos_token", "eos_token"))
    if begin is None or not kind.has_beginning:
        return (), end
    if kind.begins is None:
        begins = tuple(inner.encode("x").ids[:1]) == begin
    else:
        begins = bool(settings.get("add_bos_token", kind.begins))
    return (begin if begins else ()), end


def _id_of(inner: Tokenizer, token: str | None, special: Mapping[str, str]) -> tuple[int] | None:
    found = inner.token_to_id(token) if token else None
    if found is None and token and "unk_token" in special:
        found = inner.token_to_id(special["unk_token"])
    return None if found is None else (found,)
