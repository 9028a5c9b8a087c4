"""
From a work folder to everything that a run is made of. Reads only, and knows no database.

The number in `eval_outputs_iter_299.txt` is one less than the checkpoint's: xtuner counts from 0 while
it answers, and from 1 when it saves. Here it is the checkpoint's, 300.

Source:
    xtuner 0.2.0 `engine/hooks/evaluate_chat_hook.py`, mmengine 0.10 `hooks/checkpoint_hook.py`.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from app.domain.importing.configs import read_config
from app.domain.importing.exchanges import outputs_in, read_exchanges
from app.domain.importing.found import FileKind, FoundCheckpoint, FoundConfig, FoundRun, Start
from app.domain.importing.log_lines import LogReader
from app.domain.importing.places import START, Entry, WorkFolder, open_work_folder, refuse, shown
from app.domain.importing.room import MOST_TEXTS, Room
from app.domain.importing.scalars import read_scalars
from app.domain.importing.stitching import stitch
from app.domain.logs import TAIL_BYTES
from app.domain.messages import Message, message
from app.domain.texts import storable
from app.domain.training import MAX_ITERATIONS

COPIED = "config"  # what the copy of each start is called, whatever the config's own name
NAMELESS = "imported"
LONGEST_NAME = 120
MOST_STARTS = 200
MOST_CHECKPOINTS = 2_000
EARLIER = 1  # what the number of a file of answers is short of
_CHECKPOINT = re.compile(r"(iter|epoch)_(\d{1,9})\.pth", re.ASCII)
_ANSWERS = re.compile(r"eval_outputs_iter_(\d{1,9})\.txt", re.ASCII)
_SHARD = re.compile(r"mp_rank_\d+_model_states\.pt|.*zero_pp_rank_\d+.*_optim_states\.pt", re.ASCII)
_NO_CONFIGS = {"zero_to_fp32.py"}  # DeepSpeed leaves it beside its checkpoints


def read_work_folder(path: Path) -> FoundRun:
    """
    Read what xtuner left in a folder.

    Raises:
        InvalidError: at `work_dir`, when it cannot be read, or no run is in it.
    """
    folder = open_work_folder(path)
    config = _find_config(folder)
    every_start = _every_start(folder, config.evaluation_every if config else 0)
    per_epoch = max((start.per_epoch for start in every_start), default=0)
    saved, notes = _saved_in(folder, per_epoch)
    if not (saved or any(start.has_trained for start in every_start)):
        raise _nothing(folder)
    stitched = stitch(every_start, saved)
    starts, saved = stitched.starts, {at: each for at, each in saved.items() if at not in stitched.given_up}
    checkpoints = _checkpoints(saved, starts, config)
    reached = max([start.last for start in starts] + [*saved, 0])
    notes = [*notes, *stitched.notes, *_notes(config, starts, checkpoints)]
    return FoundRun(
        folder=shown(folder.root),
        name=_name_of(folder, config),
        fingerprint=_fingerprint(starts, checkpoints, config),
        config=config,
        starts=starts,
        checkpoints=checkpoints,
        iterations=max([start.planned for start in starts[-1:]] + [reached]),
        notes=tuple(notes),
        log_end=_log_end(folder, starts),
    )


def _log_end(folder: WorkFolder, starts: Sequence[Start]) -> str:
    """Return the end of the newest log, as a page shows it."""
    logs = folder.entries(starts[-1].name) if starts and START.fullmatch(starts[-1].name) else folder.entries()
    log = next((each for each in logs if each.name.endswith(".log") and not each.is_folder), None)
    if log is None:
        return ""
    with folder.open(log) as file:
        file.seek(max(0, log.size_bytes - TAIL_BYTES))
        return storable(file.read(TAIL_BYTES).decode("utf-8", errors="replace"))


def _name_of(folder: WorkFolder, config: FoundConfig | None) -> str:
    """Return the config's name, which says more than `train`; the folder's where it has none of its own."""
    own = config.name if config and config.name != COPIED else ""
    return (own or shown(folder.root.name) or NAMELESS)[:LONGEST_NAME]


def _nothing(folder: WorkFolder) -> Exception:
    inner = next(
        (each.name for each in folder.entries() if each.is_folder and _looks_like_one(folder, each.name)), None
    )
    if inner is not None:
        return refuse(message("No run is in this folder. Did you mean {folder}?", folder=shown(folder.root / inner)))
    return refuse(
        message(
            "No run of xtuner is in this folder: neither iter_….pth nor a folder named by a time, such as "
            "20240406_203957, with a log in it."
        )
    )


def _looks_like_one(folder: WorkFolder, name: str) -> bool:
    return any(
        _CHECKPOINT.fullmatch(each.name) or (each.is_folder and START.fullmatch(each.name))
        for each in folder.entries(name)
    )


# ── The config ─────────────────────────────────────────────────────────────


def _find_config(folder: WorkFolder) -> FoundConfig | None:
    """Return the config beside the checkpoints, or the one that the newest start wrote down."""
    for entry in _config_files(folder):
        found = read_config(shown(entry.name).removesuffix(".py"), folder.text(entry))
        if found is not None:
            return found
    return None


def _config_files(folder: WorkFolder) -> Iterator[Entry]:
    beside = [each for each in folder.entries() if each.name.endswith(".py") and each.name not in _NO_CONFIGS]
    yield from (each for each in beside if not each.is_folder)
    for start in reversed(_starts_in(folder)):
        kept = folder.entries(start.name, "vis_data")
        yield from (each for each in kept if each.name == "config.py" and not each.is_folder)


# ── Starts ─────────────────────────────────────────────────────────────────


def _starts_in(folder: WorkFolder) -> list[Entry]:
    return [each for each in folder.entries() if each.is_folder and START.fullmatch(each.name)][-MOST_STARTS:]


def _every_start(folder: WorkFolder, every: int) -> list[Start]:
    room = Room()
    return [_read_start(folder, each.name, every, room) for each in _starts_in(folder)] or [
        _loose_start(folder, every, room)
    ]


def _read_start(folder: WorkFolder, name: str, every: int, room: Room) -> Start:
    start = Start(name, began_at=_moment(name))
    kept = [each for each in folder.entries(name, "vis_data") if not each.is_folder]
    _read_answer_files(folder, start, kept, room)
    for each in folder.entries(name):
        if not each.is_folder and each.name.endswith(".log"):
            with folder.open(each) as file:
                LogReader(start, every=every, room=room).read(file)
    numbers = [each for each in kept if each.name.endswith(".json")]
    for each in [one for one in numbers if one.name == "scalars.json"] or numbers[:1]:
        with folder.open(each) as file:
            read_scalars(start, file)
    return start


def _loose_start(folder: WorkFolder, every: int, room: Room) -> Start:
    """Read logs that lie beside the checkpoints, where somebody has moved or redirected them."""
    logs = [each for each in folder.entries() if not each.is_folder and each.name.endswith(".log")]
    start = Start(logs[0].name if logs else "")
    _read_answer_files(folder, start, [each for each in folder.entries() if not each.is_folder], room)
    for each in logs:
        with folder.open(each) as file:
            LogReader(start, every=every, room=room).read(file)
    return start


def _read_answer_files(folder: WorkFolder, start: Start, entries: Sequence[Entry], room: Room) -> None:
    """Take the files of answers, which go before what the log says of the same checkpoint."""
    found = sorted((int(name[1]), each) for each in entries if (name := _ANSWERS.fullmatch(each.name)))
    for number, each in found[:MOST_CHECKPOINTS]:
        texts = outputs_in(folder.text(each))[:MOST_TEXTS]
        if texts and number + EARLIER <= MAX_ITERATIONS and room.takes(texts):
            start.said[number + EARLIER] = texts


def _moment(name: str) -> datetime | None:
    try:
        return datetime.strptime(name, "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


# ── Checkpoints ────────────────────────────────────────────────────────────


def _saved_in(folder: WorkFolder, per_epoch: int) -> tuple[dict[int, FoundCheckpoint], list[Message]]:
    """Return the checkpoints that have files, by iteration."""
    saved: dict[int, FoundCheckpoint] = {}
    unplaced = 0
    for each in folder.entries():
        named = _CHECKPOINT.fullmatch(each.name)
        if named is None:
            continue
        iteration = int(named[2]) * (per_epoch if named[1] == "epoch" else 1)
        if not 0 < iteration <= MAX_ITERATIONS:
            unplaced += 1
        elif len(saved) < MOST_CHECKPOINTS:
            saved[iteration] = _on_disk(folder, each, iteration)
    notes = [message("{count} checkpoints of epochs have no iteration: no log says how long an epoch was.",
                     count=unplaced)] if unplaced else []  # fmt: skip
    return saved, notes


def _on_disk(folder: WorkFolder, entry: Entry, iteration: int) -> FoundCheckpoint:
    if not entry.is_folder:
        return FoundCheckpoint(iteration, FileKind.PLAIN, entry.name, entry.size_bytes, entry.changed_ns)
    shards = [each for each in folder.entries(entry.name) if not each.is_folder]
    kind = FileKind.SHARDS if any(_SHARD.fullmatch(each.name) for each in shards) else FileKind.NONE
    changed_ns = max((each.changed_ns for each in shards), default=0)
    return FoundCheckpoint(iteration, kind, entry.name, sum(each.size_bytes for each in shards), changed_ns)


def _checkpoints(
    saved: Mapping[int, FoundCheckpoint], starts: Sequence[Start], config: FoundConfig | None
) -> list[FoundCheckpoint]:
    said = {at: (texts, start) for start in starts for at, texts in start.said.items()}
    found = []
    for iteration in sorted({*saved, *said, *(at for start in starts for at in start.saved)})[: MOST_CHECKPOINTS + 1]:
        here = saved.get(iteration, FoundCheckpoint(iteration, FileKind.NONE))
        texts, start = said.get(iteration, ([], None))
        answers = read_exchanges(
            texts,
            questions=config.questions if config else (),
            template=config.template if config else "",
            system=config.system if config else "",
        )
        seconds = start.answer_seconds.get(iteration, 0.0) if start else 0.0
        found.append(replace(here, said=answers, answer_seconds=seconds))
    return found


# ── What is to be said of it ───────────────────────────────────────────────


def _notes(
    config: FoundConfig | None, starts: Sequence[Start], checkpoints: Sequence[FoundCheckpoint]
) -> Iterator[Message]:
    if config is None:
        yield message("No config could be read: the settings are defaults, and say nothing of this run.")
    else:
        yield from config.notes
    answered = [each.iteration for each in checkpoints if each.said]
    if not answered:
        yield message("No answers were found: without them there are no verdicts.")
    elif 0 not in answered:
        yield message("The base model's answers are not there: xtuner writes them to the log alone.")
    if answered and not (config and config.is_greedy):
        yield message("xtuner drew these answers at random, at temperature 0.1: two checkpoints differ by chance too.")
    if len(starts) > 1:
        yield message("{count} starts are put into one line; where two overlap, the later one counts.",
                      count=len(starts))  # fmt: skip


def _fingerprint(starts: Sequence[Start], checkpoints: Sequence[FoundCheckpoint], config: FoundConfig | None) -> str:
    """Return a hash of what was found: with another one, an import brings something new."""
    digest = hashlib.sha256((config.text if config else "").encode("utf-8", errors="replace"))
    for start in starts:
        digest.update(f"{start.name} {start.last} {len(start.measured)} {start.has_ended}\n".encode())
    for each in checkpoints:
        facts = (each.iteration, each.kind.value, each.size_bytes, each.changed_ns, each.said)
        digest.update(repr(facts).encode("utf-8", "replace"))
    return digest.hexdigest()
