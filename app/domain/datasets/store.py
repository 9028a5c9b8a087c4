"""Where the rows of saved sets are, and how they are read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.config import settings


def dataset_file(sha256: str) -> Path:
    """Return where one version of a saved set is."""
    return settings().datasets_folder / f"{sha256}.jsonl"


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file in their order, one at a time."""
    with path.open("rb") as file:
        for line in file:
            yield json.loads(line)
