"""Which packages train: written beside a run when its trainer starts, read for its recipe card."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from app.domain.beneath import read_beneath, write_beneath

PACKAGES = ("temper", "xtuner", "torch", "transformers", "peft", "bitsandbytes", "tokenizers", "mmengine")
NAME = "versions.json"
LONGEST = 60  # characters of a version: the file may be from anywhere a backup came from


def keep_versions(folder: Path) -> None:
    """Write what is installed in this environment, which is the trainer's too."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    write_beneath(folder, folder / NAME, json.dumps(found, indent=2))


def kept_versions(folder: Path) -> dict[str, str]:
    """Read what trained a run; nothing where it was not written down."""
    try:
        with read_beneath(folder, folder / NAME) as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    known = ("python", *PACKAGES)
    return {name: str(found[name])[:LONGEST] for name in known if name in found} if isinstance(found, dict) else {}
