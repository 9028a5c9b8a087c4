"""
Counted tokens, remembered: of pairs in this process, of saved sets also on the disk.

A pair's and a set's tokens depend on the tokenizer, the template and the text alone, so nothing here
ever goes stale; what is on the disk may be deleted at any time and is then counted again.
"""

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from zipfile import BadZipFile

import numpy as np

from app.config import settings
from app.domain.datasets.rows import read_rows
from app.domain.datasets.store import dataset_file
from app.domain.errors import UnavailableError
from app.domain.messages import message
from app.domain.mixes import general_of, identity_of, row_of
from app.domain.prompt_templates import PromptTemplate
from app.domain.recipes import MAX_FILES, FileSource, Mix, Pair
from app.domain.token_counts import TokenCounts, count_tokens, ends_of_turn, join_counts
from app.domain.tokenising import TextTokenizer

PAIRS_REMEMBERED = 50_000  # about 20 MB, however long they are; a form holds two thousand at most
SETS_REMEMBERED = MAX_FILES  # a set of a million rows takes 20 MB; with fewer a form would forget some of its own
COUNTED_AT_ONCE = 2  # sets: counting takes all cores, and up to 200 MB
SHORT_WAIT_SECONDS = 0.15  # a page that is typed into waits so long; 2,000 rows are counted by then
FORM = "1"  # of the files; another number where they are written otherwise

_PairCounts = tuple[int, int, int]
"""Tokens of the row, and where its answer begins and how long it is: a pair has one answer, which is learnt."""
_pairs: OrderedDict[bytes, _PairCounts] = OrderedDict()
"""By a digest of the tokenizer, the template and the texts."""
_lock = threading.Lock()


def count_mix(
    mix: Mix, *, tokenizer: TextTokenizer, template: PromptTemplate, waits: bool = True
) -> tuple[TokenCounts, ...]:
    """
    Count the rows that each source of a mix holds, each once, in the order of the sources.

    Args:
        waits: for saved sets that were never counted, however long that takes; else they are counted meanwhile.

    Raises:
        StillCountingError: a saved set is not counted yet, and nobody waits for it.
        UnavailableError: xtuner would fail on them with this template or this tokenizer.
    """
    ends_of_turn(tokenizer, template)  # also where there is nothing to count
    until = None if waits else time.monotonic() + SHORT_WAIT_SECONDS
    return (
        _count_pairs(identity_of(mix), mix.system, tokenizer, template),
        _count_pairs(general_of(mix), mix.system, tokenizer, template),
        *(_count_set(file, tokenizer, template, until=until) for file in mix.files),
    )


# ── Pairs ──────────────────────────────────────────────────────────────────


def _count_pairs(pairs: Sequence[Pair], system: str, tokenizer: TextTokenizer, template: PromptTemplate) -> TokenCounts:
    head = _digest(tokenizer.sha256, repr(template), system)
    keys = [_digest(pair.question, pair.answer, head=head) for pair in pairs]
    with _lock:
        found = {key: _pairs[key] for key in keys if key in _pairs}
    missing = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in found}
    if missing:
        rows = [row_of(pair, system) for pair in missing.values()]
        counted = count_tokens(rows, tokenizer=tokenizer, template=template)
        columns = counted.lengths, counted.span_starts, counted.span_lengths
        found |= dict(zip(missing, zip(*(column.tolist() for column in columns), strict=True), strict=True))
    _remember({key: found[key] for key in keys})
    lengths, starts, answers = np.array([found[key] for key in keys], np.int32).reshape(-1, 3).T
    return TokenCounts(lengths, np.arange(len(keys), dtype=np.int32), starts, answers, np.ones(len(keys), np.bool_))


def _digest(*texts: str, head: bytes = b"") -> bytes:
    """Return what stands for texts: 16 bytes, whatever they are."""
    digest = hashlib.blake2b(head, digest_size=16)
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8) + content)
    return digest.digest()


def _remember(counted: dict[bytes, _PairCounts]) -> None:
    with _lock:
        for key, counts in counted.items():
            _pairs[key] = counts
            _pairs.move_to_end(key)
        while len(_pairs) > PAIRS_REMEMBERED:
            _pairs.popitem(last=False)


# ── Saved sets ─────────────────────────────────────────────────────────────


class StillCountingError(UnavailableError):
    """A saved set is being counted; asked again later, it is there."""

    kind = "counting"
    retry_seconds = 2


_SetKey = tuple[Path, str, PromptTemplate]
_turn = threading.BoundedSemaphore(COUNTED_AT_ONCE)
_sets: OrderedDict[_SetKey, Future[TokenCounts]] = OrderedDict()


def _count_set(
    file: FileSource, tokenizer: TextTokenizer, template: PromptTemplate, *, until: float | None
) -> TokenCounts:
    path = dataset_file(file.sha256)
    if not path.is_file():
        return join_counts([])
    key = (path, tokenizer.sha256, template)
    try:
        return _begun(key, tokenizer).result(None if until is None else max(0.0, until - time.monotonic()))
    except TimeoutError:
        text = message("The tokens of “{name}” are being counted. Look again in a moment.", name=file.dataset)
        raise StillCountingError(text) from None
    except Exception:
        with _lock:
            _sets.pop(key, None)  # what failed once may be tried again
        raise


def _begun(key: _SetKey, tokenizer: TextTokenizer) -> Future[TokenCounts]:
    """Return the counting of a set: done, under way, or begun just now, in a thread that ends with the process."""
    with _lock:
        if (found := _sets.get(key)) is not None:
            _sets.move_to_end(key)
            return found
        begun = _sets[key] = Future[TokenCounts]()
        while len(_sets) > SETS_REMEMBERED:
            _sets.popitem(last=False)
    Thread(target=_fill, args=(begun, key, tokenizer), daemon=True).start()
    return begun


def _fill(begun: Future[TokenCounts], key: _SetKey, tokenizer: TextTokenizer) -> None:
    path, _, template = key
    try:
        kept = _file_of(path, tokenizer, template)
        counts = _read(kept)
        if counts is None:
            with _turn:
                counts = count_tokens(read_rows(path), tokenizer=tokenizer, template=template)
            _write(kept, counts)
        begun.set_result(counts)
    except BaseException as error:  # noqa: BLE001 - whoever waits for it must hear of it
        begun.set_exception(error)


def forget_sets() -> None:
    """Forget what this process knows of saved sets; what is on the disk stays."""
    with _lock:
        _sets.clear()


def _file_of(path: Path, tokenizer: TextTokenizer, template: PromptTemplate) -> Path:
    digest = hashlib.sha256("\0".join((FORM, path.stem, tokenizer.sha256, repr(template))).encode())
    return settings().tokens_folder / f"{digest.hexdigest()}.npz"


def _read(path: Path) -> TokenCounts | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return TokenCounts(**{name: stored[name] for name in TokenCounts.__dataclass_fields__})
    except (OSError, ValueError, KeyError, BadZipFile):  # not there, or spoilt: it is counted again
        return None


def _write(path: Path, counts: TokenCounts) -> None:
    """Write counts whole or not at all; a full disk costs only the time to count again."""
    aside = path.with_name(f".{path.name}-{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            np.savez(file, **{name: getattr(counts, name) for name in TokenCounts.__dataclass_fields__})
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
