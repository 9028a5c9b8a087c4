"""
What a model's folder holds that could run code: programs, pickled weights, odd chat templates.

Temper runs none of it: weights are read without unpickling, a model's own code is never imported, no chat template
is rendered. But other programs that load the same folder do, and one mistake would be enough. So an admin has to have
looked at exactly these files before a run starts from them; see `approvals`.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from app.domain.chat_templates import odd_parts
from app.domain.disk import sha256_of
from app.domain.messages import Message, message
from app.domain.model_folders import MAX_JSON_BYTES, refuse

MOST_FILES = 10_000  # of a folder; the largest models have some hundred
MOST_PARTS = 3  # of an odd chat template, that are named
SYSTEM_FOLDERS = (Path("/proc"), Path("/sys"), Path("/dev"))

PROGRAMS = frozenset({".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh"})
PICKLES = frozenset({".bin", ".pth", ".pt", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill"})
TEMPLATES = frozenset({".jinja", ".jinja2"})
# What neither runs nor is unpickled by anything that loads a model; every other file has to be looked at.
PLAIN = frozenset(
    (
        *(".safetensors", ".jsonl", ".txt", ".md", ".rst", ".csv", ".tsv", ".yaml", ".yml", ".html", ".pdf", ".bib"),
        *(".model", ".tiktoken", ".vocab"),
        *(".png", ".jpg", ".jpeg", ".svg", ".gif", ".webp", ".metadata", ".lock", ".tag", ".cff"),
    )
)
GIT_FOLDER = ".git"  # of a cloned model: nothing that loads a model looks into it
PLAIN_NAMES = frozenset(
    (
        *("license", "licence", "notice", "readme", "use_policy", "model_license", "copying", "copyright", "authors"),
        *("contributors", "changelog", ".gitattributes", ".gitignore", ".gitkeep", ".ds_store"),
    )
)
_PICKLED = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
# Settings by which libraries take code from a folder, a package or a hub.
_CODE_SETTINGS = ("auto_map", "custom_pipelines", "auto_mapping")
_KERNEL_SETTINGS = ("_attn_implementation", "attn_implementation", "_attn_implementation_internal")


class DangerKind(StrEnum):
    """Why a file has to be looked at."""

    CODE = "code"
    PICKLE = "pickle"
    TEMPLATE = "template"


@dataclass(frozen=True)
class Danger:
    """One file that could run code, and why."""

    file: str
    """Its place in the folder."""
    kind: DangerKind
    size_bytes: int
    sha256: str
    reason: Message


def fingerprint_of(dangers: Sequence[Danger]) -> str:
    """Return the hash of dangerous files, by name and content; empty where there are none."""
    if not dangers:
        return ""
    told = sorted((danger.file, danger.kind, danger.sha256) for danger in dangers)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def dangers_of(folder: Path, *, anew: bool = False) -> list[Danger]:
    """
    Return what a folder holds that could run code.

    Args:
        anew: read every such file again, however unchanged it looks.

    Raises:
        InvalidError: at `source`: it holds a pipe or a device, or a link that leads out of it.
    """
    if anew:
        _looked_at.cache_clear()
    found: list[Danger] = []
    for path in plain_files(folder):
        if path.relative_to(folder).parts[0] == GIT_FOLDER:
            continue
        facts = path.stat()
        state = (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        found += _looked_at(path, str(path.relative_to(folder)), state)
    return found


# ── Files ──────────────────────────────────────────────────────────────────


def plain_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder, those in its folders too; InvalidError at anything else, and at links out of it."""
    inside = allowed_roots(folder)
    if any(root.is_relative_to(place) for place in SYSTEM_FOLDERS for root in inside):
        raise refuse(message("This is a folder of the system, and no model."))
    count = 0
    for where, folders, names in os.walk(folder):
        for path in (Path(where, name) for name in sorted([*folders, *names])):
            count += 1
            if count > MOST_FILES:
                raise refuse(message("There are more than {most} files in this folder.", most=MOST_FILES))
            if _is_file(path, inside):
                yield path


def allowed_roots(folder: Path) -> list[Path]:
    """Return the folders that links in a model's folder may lead to: itself, and the store of the hub's cache."""
    root = folder.resolve()
    is_snapshot = root.parent.name == "snapshots" and (root.parents[1] / "blobs").is_dir()
    return [root, root.parents[1] / "blobs"] if is_snapshot else [root]


def _is_file(path: Path, inside: Sequence[Path]) -> bool:
    """Whether it is a plain file; InvalidError where it is neither that nor a folder."""
    if path.is_symlink():
        target = path.resolve()
        if not any(target.is_relative_to(root) for root in inside):
            text = message(
                "{file} is a link that leads out of this folder, to {target}. Put the file itself there.",
                file=path.name,
                target=str(target),
            )
            raise refuse(text)
        if not target.exists():
            raise refuse(message("{file} is a link that leads nowhere.", file=path.name))
    kind = path.stat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise refuse(message("{file} is a pipe, a socket or a device, and no file.", file=path.name))
    return stat.S_ISREG(kind)


def model_files(folder: Path) -> tuple[str, ...]:
    """Return the folders and files that loading a model reads, links followed: what a trainer is given of it."""
    if not folder.is_dir():
        return (str(folder),)
    linked = {path.resolve() for path in folder.iterdir() if path.is_symlink()}
    return (str(folder.resolve()), *sorted(map(str, linked)))


# ── What is dangerous ──────────────────────────────────────────────────────


@lru_cache(maxsize=4_096)
def _looked_at(path: Path, name: str, state: tuple[int, ...]) -> tuple[Danger, ...]:
    """Return the danger of a file, if any; of the same file in the same state, what was found before."""
    size_bytes = state[1]
    return tuple(
        Danger(name, kind, size_bytes, sha256_of(path), reason) for kind, reason in _reasons(path, name, size_bytes)
    )


def _reasons(path: Path, name: str, size_bytes: int) -> Iterator[tuple[DangerKind, Message]]:
    ending = path.suffix.lower()
    if ending in PROGRAMS:
        yield DangerKind.CODE, message("A program. Temper never runs it; others that load this folder may.")
    elif ending in PICKLES:
        text = message("Pickled: reading it can run code. Temper reads only tensors out of it, or does not read it.")
        yield DangerKind.PICKLE, text
    elif ending in TEMPLATES:
        yield from _template_reasons(path.read_text("utf-8", "replace") if size_bytes <= MAX_JSON_BYTES else "{%")
    elif ending == ".json":
        yield from _json_reasons(path)
    elif not _is_plain(path):
        text = message(
            "{file} is of a kind that Temper does not know. Others that load this folder may run it.", file=name
        )
        yield DangerKind.CODE, text


def _is_plain(path: Path) -> bool:
    """Whether a file is of a kind that runs nothing, and is no pickled file by another name."""
    if path.suffix.lower() == ".safetensors":  # whose header is checked before a run
        return True
    with path.open("rb") as file:
        is_pickled = file.read(2) in _PICKLED
    return not is_pickled and (path.suffix.lower() in PLAIN or path.name.lower() in PLAIN_NAMES)


def _json_reasons(path: Path) -> Iterator[tuple[DangerKind, Message]]:
    try:
        objects = list(_objects_of(path))
    except (OSError, ValueError, RecursionError):
        text = message("{file} cannot be read as JSON, so nobody knows what it names.", file=path.name)
        yield DangerKind.CODE, text
        return
    for setting in _CODE_SETTINGS:
        if any(isinstance(each.get(setting), str | list | dict) and each[setting] for each in objects):
            text = message("Names code to load ({setting}). Temper loads none of it.", setting=setting)
            yield DangerKind.CODE, text
    for setting in _KERNEL_SETTINGS:
        if any("/" in str(each.get(setting) or "") for each in objects):
            text = message("Names a kernel on a hub ({setting}). Temper fetches none.", setting=setting)
            yield DangerKind.CODE, text
    for each in objects:
        yield from _template_reasons(template_text(each.get("chat_template")))


def _objects_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield every object of a JSON file, those inside of others too; ValueError where it is none, or too large."""
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError("too large")
    waiting = [json.loads(path.read_text("utf-8"))]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
        if isinstance(found, dict | list):
            waiting += found.values() if isinstance(found, dict) else found


def template_text(template: object) -> str:
    """Return the text of a setting that is a chat template, or a list of several, or several by name."""
    if isinstance(template, dict):
        return " ".join(map(str, template.values()))
    if isinstance(template, list):
        return " ".join(template_text(entry) for entry in template)
    return str(template or "")


def _template_reasons(text: str) -> Iterator[tuple[DangerKind, Message]]:
    for part in odd_parts(text)[:MOST_PARTS]:
        yield DangerKind.TEMPLATE, part
