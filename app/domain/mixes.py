"""
The mix: from identity and general pairs to the rows that are trained on.

Rows are counted and ordered as the tutorial's script does: every pair once, then the identity
pairs n times, then the general pairs m times.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from app.domain.recipes import GeneralSet, Mix, Pair


@dataclass(frozen=True)
class RowCounts:
    """How many rows each source gives."""

    identity: int
    general: int

    @property
    def total(self) -> int:
        """All rows of the mix."""
        return self.identity + self.general


@cache
def general_pairs(name: GeneralSet) -> tuple[Pair, ...]:
    """Read one built-in set; its file ships with Temper."""
    text = files("app.domain").joinpath("pairs", f"{name}.json").read_text("utf-8")
    return tuple(Pair.model_validate(pair) for pair in json.loads(text))


def identity_of(mix: Mix) -> tuple[Pair, ...]:
    """Return the identity pairs with `{name}` filled in; every other brace stays as it is."""
    return tuple(
        Pair(question=pair.question.replace("{name}", mix.name), answer=pair.answer.replace("{name}", mix.name))
        for pair in mix.identity
    )


def general_of(mix: Mix) -> tuple[Pair, ...]:
    """Return the general pairs: the chosen built-in sets first, then the user's own."""
    return tuple(chain(*(general_pairs(name) for name in mix.general_sets), mix.general))


def count_rows(mix: Mix) -> RowCounts:
    """Count the rows of a mix without building them."""
    general = sum(len(general_pairs(name)) for name in mix.general_sets) + len(mix.general)
    return RowCounts(
        identity=len(mix.identity) * (1 + mix.identity_count),
        general=general * (1 + mix.general_count),
    )


def build_rows(mix: Mix) -> Iterator[dict[str, Any]]:
    """
    Yield the rows in the order of the tutorial's script.

    Returns:
        xtuner's native form: `{"conversation": [{"system", "input", "output"}]}`.
    """
    identity, general = identity_of(mix), general_of(mix)
    copies = chain(
        chain(identity, general),
        chain.from_iterable(repeat(identity, mix.identity_count)),
        chain.from_iterable(repeat(general, mix.general_count)),
    )
    for pair in copies:
        yield {"conversation": [{"system": mix.system, "input": pair.question, "output": pair.answer}]}


def write_rows(mix: Mix, path: Path) -> str:
    """Write the mix as JSON Lines and return the file's sha256 in hex, which pins the run's data."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for row in build_rows(mix):
            line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
            digest.update(line)
            file.write(line)
    return digest.hexdigest()
