"""
The mix: from pairs and saved sets to the rows that are trained on.

Rows are counted and ordered as the tutorial's script does: every row of every source once, then the
identity pairs n times, then the general pairs m times, then each saved set as often as it says. A
source with a wanted share of all rows gets as many passes as fit, and the rest evenly spaced.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from importlib.resources import files
from itertools import chain, repeat
from pathlib import Path

import orjson

from app.config import settings
from app.domain.datasets.rows import Row, row_line, turn
from app.domain.datasets.store import dataset_file
from app.domain.disk import put_on_disk, sha256_of
from app.domain.errors import NotFoundError
from app.domain.messages import message
from app.domain.mix_rows import RowCounts, Source, plan_rows
from app.domain.recipes import FileSource, GeneralSet, Mix, Pair

CHUNK_BYTES = 1 << 20
EARLIER_NAME = "mix.jsonl"  # in the run's folder: where runs of version 0.1 have their rows
NAME = "name"  # the variable that every mix has
IDENTITY, GENERAL = "identity", "general"

_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@cache
def general_pairs(name: GeneralSet) -> tuple[Pair, ...]:
    """Read one built-in set; its file ships with Temper."""
    text = files("app.domain").joinpath("pairs", f"{name}.json").read_text("utf-8")
    return tuple(Pair.model_validate(pair) for pair in json.loads(text))


def identity_of(mix: Mix) -> tuple[Pair, ...]:
    """Return the identity pairs with `{name}` and the variables filled in; every other brace stays as it is."""
    words = {**mix.variables, NAME: mix.name}
    # Not validated again: a text may outgrow a field's limit once its variables are filled in.
    return tuple(
        Pair.model_construct(question=_filled(pair.question, words), answer=_filled(pair.answer, words))
        for pair in mix.identity
    )


def _filled(text: str, words: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda found: words.get(found[1], found[0]), text)


def filled_lengths(mix: Mix) -> Iterator[tuple[int, int]]:
    """Yield the characters of each identity question and answer once they are filled in, without filling them in."""
    words = {**mix.variables, NAME: mix.name}
    for pair in mix.identity:
        yield _filled_length(pair.question, words), _filled_length(pair.answer, words)


def _filled_length(text: str, words: Mapping[str, str]) -> int:
    places = (found for found in _PLACE.finditer(text) if found[1] in words)
    return len(text) + sum(len(words[found[1]]) - len(found[0]) for found in places)


def general_of(mix: Mix) -> tuple[Pair, ...]:
    """Return the general pairs: the chosen built-in sets first, then the user's own."""
    return tuple(chain(*(general_pairs(name) for name in mix.general_sets), mix.general))


# ── Counting ───────────────────────────────────────────────────────────────


def rows_in_set(sha256: str) -> int:
    """Count the rows of one version of a saved set; 0 where it is not here."""
    return _rows_in(dataset_file(sha256))


def _rows_in(path: Path) -> int:
    try:
        facts = path.stat()
    except OSError:
        return 0
    return _count_lines(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=256)
def _count_lines(path: Path, size_bytes: int, mtime_ns: int) -> int:  # noqa: ARG001 - a changed file is counted anew
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(CHUNK_BYTES), b""))


def sources_of(mix: Mix) -> tuple[Source, ...]:
    """Return the sources of a mix in the order of their rows, the empty ones too."""
    general = sum(len(general_pairs(name)) for name in mix.general_sets) + len(mix.general)
    return (
        Source(IDENTITY, "", len(mix.identity), mix.identity_count, mix.identity_share),
        Source(GENERAL, "", general, mix.general_count, mix.general_share),
        *(
            Source(f"files.{number}", file.dataset, rows_in_set(file.sha256), file.count, file.share)
            for number, file in enumerate(mix.files)
        ),
    )


def count_rows(mix: Mix) -> RowCounts:
    """Count the rows of a mix without building them."""
    return RowCounts(plan_rows(sources_of(mix)))


# ── Building ───────────────────────────────────────────────────────────────


class MissingSetError(NotFoundError):
    """A saved set of a mix is not on this machine, or is not what its name says."""


def row_of(pair: Pair, system: str) -> Row:
    """Return a pair as a row, in xtuner's native form."""
    return {"conversation": [turn(pair.question, pair.answer, system=system)]}


def build_rows(mix: Mix) -> Iterator[Row]:
    """Yield the rows in the order of the tutorial's script; saved sets are read, never held."""
    return map(orjson.loads, row_lines(mix))


def row_lines(mix: Mix) -> Iterator[bytes]:
    """
    Yield each row of a mix as the line that is written.

    Raises:
        MissingSetError: a saved set is not here, or not what its name says; maybe not before its last line.
    """
    lines: list[list[bytes] | FileSource] = [
        [_line(row_of(pair, mix.system)) for pair in identity_of(mix)],
        [_line(row_of(pair, mix.system)) for pair in general_of(mix)],
        *mix.files,
    ]
    planned = list(zip(count_rows(mix).sources, lines, strict=True))
    for source, held in planned:
        if isinstance(held, FileSource) and not source.distinct:
            raise _not_here(held)
    for source, held in planned:
        read = _verified(held) if isinstance(held, FileSource) else held
        yield from _spaced(read, source.first, of=source.distinct)
    for source, held in planned:
        for count in (*repeat(source.distinct, source.passes), source.rest):
            read = _read(held) if isinstance(held, FileSource) else held
            yield from _spaced(read, count, of=source.distinct)


def _line(row: Row) -> bytes:
    return row_line(row["conversation"]).encode()


def _spaced(lines: Iterable[bytes], count: int, *, of: int) -> Iterator[bytes]:
    """Yield `count` of all lines, evenly spaced; if any, the lines are read to their end."""
    if count == 0:
        return
    wanted = (place * of // count for place in range(count))
    next_wanted = next(wanted)
    for place, line in enumerate(lines):
        if place == next_wanted:
            yield line
            next_wanted = next(wanted, -1)


def _read(file: FileSource) -> Iterator[bytes]:
    try:
        with dataset_file(file.sha256).open("rb") as lines:
            yield from lines
    except FileNotFoundError:
        raise _not_here(file) from None


def _verified(file: FileSource) -> Iterator[bytes]:
    """Yield the lines of a saved set, and at their end hold them against the hash that names it."""
    digest = hashlib.sha256()
    for line in _read(file):
        digest.update(line)
        yield line
    if digest.hexdigest() != file.sha256:
        text = message("The saved set “{name}”, version {version}, is damaged: its rows are not those that were saved.",
                       name=file.dataset, version=file.sha256[:8])  # fmt: skip
        raise MissingSetError(text)


def _not_here(file: FileSource) -> MissingSetError:
    text = message("The saved set “{name}”, version {version}, is not on this machine.",
                   name=file.dataset, version=file.sha256[:8])  # fmt: skip
    return MissingSetError(text)


def write_rows(mix: Mix, path: Path) -> str:
    """Write the mix as JSON Lines and return the file's sha256 in hex, which pins the run's data."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for line in row_lines(mix):
            digest.update(line)
            file.write(line)
    return digest.hexdigest()


# ── Kept for ever ──────────────────────────────────────────────────────────


def rows_file(sha256: str) -> Path:
    """Return where the rows of a run are kept."""
    return settings().mixes_folder / f"{sha256}.jsonl"


def rows_kept(sha256: str) -> int:
    """Count the rows of a run that are kept; 0 where there are none of this hash."""
    return _rows_in(rows_file(sha256))


def keep_rows(mix: Mix) -> str:
    """
    Write the rows of a mix to where they are kept, whole or not at all; return their sha256.

    Raises:
        MissingSetError: a saved set is not here, or not what its name says.
    """
    with _aside() as path:
        sha256 = write_rows(mix, path)
        _keep(path, sha256)
    return sha256


@contextmanager
def _aside() -> Iterator[Path]:
    """Give a file of this caller's own to write to; gone afterwards, if it was not kept."""
    folder = settings().mixes_folder
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{os.getpid()}-{os.urandom(4).hex()}.part"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _keep(path: Path, sha256: str) -> None:
    put_on_disk(path)
    path.replace(rows_file(sha256))
    put_on_disk(path.parent)


def adopt_rows(path: Path, sha256: str) -> bool:
    """Keep the rows of a run that has them in its own folder; False where they are not there, or not those."""
    if not path.is_file() or sha256_of(path) != sha256:
        return False
    with _aside() as copy:
        shutil.copyfile(path, copy)
        _keep(copy, sha256)
    return True
