"""
From the rows that a foreign run was trained on to a mix that verdicts can be made by.

The rows are read like any upload: in a process apart, with limits. Few pairs, each repeated as often as the
others, become pairs of the mix; what is too varied for that becomes a saved set. Without the rows, the
identity is what the user says it is.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from pydantic import ValidationError

from app.domain.datasets.incoming import check_size
from app.domain.datasets.intake import Intake
from app.domain.datasets.kinds import Container, RowForm
from app.domain.datasets.rows import Row, RowWriter
from app.domain.datasets.store import read_upload, rows_beside
from app.domain.errors import AppError, InvalidError
from app.domain.importing.found import FoundConfig, FoundMix
from app.domain.importing.places import open_plain, refuse, shown
from app.domain.importing.questions import asks_who
from app.domain.messages import Message, message
from app.domain.recipe_parts import LONGEST_TEXT
from app.domain.recipes import Mix, Pair
from app.domain.taught import folded
from app.domain.texts import has_characters

MOST_PAIRS = 200  # of a mix that is read from a file; more are easier looked at as a saved set
MOST_DISTINCT = 100_000  # different rows that are counted; files of more are varied enough
LEAST_SHARE = 0.3  # of the rows: a pair that is so much of the data is what it teaches
DATA, IDENTITY = "data", "identity"  # fields of a request
ROW_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson", ".csv", ".parquet"})
NOBODY = "-"  # whose assistant, where no answer names anybody
_NAMED = (
    re.compile(r"我是\s*(.{1,30}?)\s*的(?:私人|个人)?(?:AI|小|智能)?助[手理]"),
    re.compile(r"\bI(?: a|')m (\w[\w .-]{0,30}?)'s? ", re.IGNORECASE),
)

Exchange = tuple[str, str]
"""A question and its answer."""


@dataclass(frozen=True)
class RowFile:
    """The rows that a run was trained on, in Temper's own form."""

    source: Path
    rows: Path
    count: int


@dataclass(frozen=True)
class Rest:
    """Rows that are no pairs of a mix, written to a file of their own."""

    rows: Path
    intake: Intake
    source_name: str


def find_rows(config: FoundConfig | None, folder: Path, *, given: Path | None, roots: Sequence[Path]) -> Path | None:
    """
    Return the file of rows that the user or the config names, where it is here.

    Args:
        roots: folders that it must be in; none means anywhere, for a user of this machine.
    """
    if given is not None:
        return given.expanduser().resolve()  # a link that the user names is meant
    for name in config.data_files if config else ():
        for base in (folder, folder.parent):
            path = base / name  # an absolute name stays what it is
            try:
                real = path.resolve(strict=True)
            except (OSError, RuntimeError, ValueError):
                continue
            if _may_be_rows(real) and (not roots or any(real.is_relative_to(root) for root in roots)):
                return real
    return None


def _may_be_rows(path: Path) -> bool:
    """Whether a config that somebody else wrote may have this file read: its words can come back in a note."""
    return path.suffix.lower() in ROW_SUFFIXES and path.is_file()


def take_rows(source: Path, into: Path) -> RowFile:
    """
    Read a file of rows in a process apart.

    Raises:
        AppError: it cannot be read, with the line where.
    """
    with open_plain(source, field=DATA) as file:
        check_size(file.seek(0, 2))
    intake = read_upload_of(source, into)
    return RowFile(source, rows_beside(into / "source"), intake)


def read_upload_of(source: Path, into: Path) -> int:
    """Copy a file of rows to where uploads are read, and read it; return its rows."""
    target = into / "source"
    with open_plain(source, field=DATA) as file, target.open("xb") as copy:
        while chunk := file.read(1 << 20):
            copy.write(chunk)
    return read_upload(target).rows


def checked_identity(given: Iterable[str]) -> tuple[str, ...]:
    """Return answers as a mix holds them; InvalidError at `identity` for one that it cannot hold."""
    try:
        return tuple(Pair(question="?", answer=answer).answer for answer in given)
    except ValidationError:
        text = message("An identity is an answer of 1 to {most} characters.", most=LONGEST_TEXT)
        raise refuse(text, field=IDENTITY) from None


# ── Pairs ──────────────────────────────────────────────────────────────────


def mix_of(file: RowFile | None, config: FoundConfig | None, identity: Sequence[str], asked: Sequence[str]) -> FoundMix:
    """
    Return the mix of a run.

    Args:
        identity: answers that the user says are the identity.
        asked: the questions that were evaluated.
    """
    system = (config.system if config else "")[:LONGEST_TEXT]
    counts = count_pairs(file.rows) if file else Counter[Exchange]()
    mine = _identity_in(counts, identity)
    if not mine:
        pairs = tuple(Pair(question=_question_for(answer, asked), answer=answer) for answer in identity)
        return FoundMix(_mix(pairs, system, copies=1), file.count if file else 0, file.count if file else 0,
                        tuple(_without(file, identity)))  # fmt: skip
    copies = [counts[pair] for pair in mine]
    rest = {pair: count for pair, count in counts.items() if pair not in set(mine)}
    total = file.count if file else 0
    others = total - sum(copies)
    notes = [] if len(set(copies)) == 1 else [_uneven(copies)]
    pairs = tuple(Pair(question=question, answer=answer) for question, answer in mine)
    is_even = len(rest) <= MOST_PAIRS and len(set(rest.values())) <= 1 and sum(rest.values()) == others
    mix = _mix(pairs, system, copies=round(sum(copies) / len(copies)))
    if is_even and all(_fits(pair) for pair in rest):
        general = tuple(Pair(question=question, answer=answer) for question, answer in rest)
        count = next(iter(rest.values()), 1) - 1
        return FoundMix(mix.model_copy(update={"general": general, "general_count": count}), total, 0, tuple(notes))
    return FoundMix(mix, total, others, tuple(notes))


def _mix(pairs: tuple[Pair, ...], system: str, *, copies: int) -> Mix:
    name = next((found[1].strip() for pair in pairs for form in _NAMED if (found := form.search(pair.answer))), NOBODY)
    return Mix(name=name or NOBODY, system=system, identity=pairs, identity_count=max(0, copies - 1))


def _without(file: RowFile | None, identity: Sequence[str]) -> Iterator[Message]:
    if identity:
        yield message("How often the identity was repeated is not known: it counts as one row.")
    elif file is None:
        yield message("What the run taught is not known: give its identity with --identity, or its rows with --data.")
    else:
        yield message("No pair of the rows is plainly the identity. Give its answer with --identity.")


def _uneven(copies: Sequence[int]) -> Message:
    return message("The identity pairs were repeated {least} to {most} times; the mix has one number for all.",
                   least=min(copies), most=max(copies))  # fmt: skip


def _question_for(answer: str, asked: Sequence[str]) -> str:
    own = "请做一下自我介绍" if has_characters(answer) else "Please introduce yourself."
    return next((question for question in asked if asks_who(question)), own)


def _fits(pair: Exchange) -> bool:
    return all(0 < len(text.strip()) <= LONGEST_TEXT for text in pair)


def count_pairs(rows: Path) -> Counter[Exchange]:
    """Count the rows of one turn by what is asked and answered; of a varied file, those that were seen first."""
    counts: Counter[Exchange] = Counter()
    with rows.open("rb") as file:
        for line in file:
            row: Row = orjson.loads(line)
            if len(row["conversation"]) != 1:
                continue
            turn = row["conversation"][0]
            pair = (turn["input"], turn["output"])
            if pair in counts or len(counts) < MOST_DISTINCT:
                counts[pair] += 1
    return counts


def _identity_in(counts: Counter[Exchange], identity: Sequence[str]) -> list[Exchange]:
    """Return the pairs that teach the identity: those of the user's answers, or those that the rows make plain."""
    if identity:
        wanted = {folded(answer).text for answer in identity}
        return [pair for pair in counts if _fits(pair) and folded(pair[1]).text in wanted][:MOST_PAIRS]
    asked = [pair for pair, count in counts.items() if count > 1 and asks_who(pair[0]) and _fits(pair)]
    if asked:
        return asked[:MOST_PAIRS]
    top = counts.most_common(1)
    is_plain = bool(top) and top[0][1] > 1 and top[0][1] >= LEAST_SHARE * counts.total() and _fits(top[0][0])
    return [top[0][0]] if is_plain else []


def write_rest(file: RowFile, mix: Mix, path: Path) -> Rest | None:
    """Write the rows that are no pairs of a mix, which takes as long as there are many; None where there are none."""
    with RowWriter(path) as writer:
        for row in _rest_of(file, mix):
            writer.write(row["conversation"])
    intake = Intake(writer.rows, 0, writer.size_bytes, writer.sha256, RowForm.XTUNER, Container.JSONL)
    return Rest(path, intake, file.source.name) if writer.rows else None


def _rest_of(file: RowFile, mix: Mix) -> Iterator[Row]:
    pairs = {(pair.question, pair.answer) for pair in mix.identity}
    with file.rows.open("rb") as lines:
        for line in lines:
            row: Row = orjson.loads(line)
            first = row["conversation"][0]
            if len(row["conversation"]) != 1 or (first["input"].strip(), first["output"].strip()) not in pairs:
                yield row


def problem_of(error: AppError, source: Path) -> Message:
    """Say why a file of rows was not taken."""
    problems = error.fields if isinstance(error, InvalidError) else ()
    text = problems[0].message if problems else error.message
    return message("The rows at {path} were not taken: {problem}", path=shown(source), problem=text)
