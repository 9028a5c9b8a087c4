"""
A comparison's address: it holds everything that is chosen, so that it can be shared.

`/compare?runs=1,2&hide=7` or `/compare?checkpoints=3,5`, and how to show it. An address may also
repeat a name, as a form does; `is_plain` says whether it is written the short way.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Query, Request

from app.domain.alignment import Alignment
from app.domain.matrix import ComparedRun
from app.web.addresses import is_id, read_ids
from app.web.deps import LARGEST_ID


class DiffFrom(StrEnum):
    """What the words of a cell are compared with."""

    LEFT = "left"
    BASE = "base"
    PINNED = "pinned"
    OFF = "off"


class Lines(StrEnum):
    """How much of each answer a cell shows."""

    THREE = "3"
    EIGHT = "8"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class CompareQuery:
    """What is compared, and how it is shown."""

    runs: tuple[int, ...] = ()
    checkpoints: tuple[int, ...] = ()
    hide: tuple[int, ...] = ()
    diff: DiffFrom = DiffFrom.LEFT
    pin: int | None = None
    """Checkpoint that the others are compared with."""
    lines: Lines = Lines.EIGHT
    changed: bool = False
    """Only rows whose answers differ."""
    align: Alignment = Alignment.OFF
    transpose: bool = False
    """Checkpoints as rows, probes as columns."""
    cell: tuple[int, int] | None = None
    """Checkpoint and probe of the answer that is open."""
    is_plain: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether nothing is chosen yet."""
        return not self.runs and not self.checkpoints

    def url(self, path: str = "", **changes: Any) -> str:  # noqa: ANN401 - the fields above
        """Write the address of this comparison with some of its choices changed; `path` is below `/compare`."""
        changed = replace(self, **changes)
        pairs = {name: ",".join(map(str, getattr(changed, name))) for name in ("runs", "checkpoints", "hide")}
        pairs["diff"] = "" if changed.diff == DiffFrom.LEFT else str(changed.diff)
        pairs["pin"] = "" if changed.pin is None else str(changed.pin)
        pairs["lines"] = "" if changed.lines == Lines.EIGHT else str(changed.lines)
        pairs["changed"] = "1" if changed.changed else ""
        pairs["align"] = "" if changed.align == Alignment.OFF else str(changed.align)
        pairs["transpose"] = "1" if changed.transpose else ""
        pairs["cell"] = "" if changed.cell is None else f"{changed.cell[0]}.{changed.cell[1]}"
        query = urlencode({name: value for name, value in pairs.items() if value}, safe=",")
        return f"/compare{path}?{query}" if query else f"/compare{path}"

    def without(self, checkpoint_id: int) -> str:
        """Write the address without one column."""
        if checkpoint_id in self.checkpoints:
            left = tuple(each for each in self.checkpoints if each != checkpoint_id)
            return self.url(checkpoints=left, cell=None)
        return self.url(hide=(*self.hide, checkpoint_id), cell=None)

    def with_column(self, checkpoint_id: int) -> str:
        """Write the address with one column more."""
        if checkpoint_id in self.hide:
            return self.url(hide=tuple(each for each in self.hide if each != checkpoint_id))
        return self.url(checkpoints=(*self.checkpoints, checkpoint_id))

    def without_run(self, run: ComparedRun) -> str:
        """Write the address without one run."""
        own = {column.checkpoint_id for column in run.checkpoints}
        runs = tuple(each for each in self.runs if each != run.id)
        checkpoints = tuple(each for each in self.checkpoints if each not in own)
        return self.url(runs=runs, checkpoints=checkpoints, cell=None)

    def pinned(self, checkpoint_id: int) -> str:
        """Write the address that compares every column with one, or no longer does."""
        if self.diff is DiffFrom.PINNED and self.pin == checkpoint_id:
            return self.url(diff=DiffFrom.LEFT, pin=None)
        return self.url(diff=DiffFrom.PINNED, pin=checkpoint_id)


Texts = Annotated[list[str], Query()]


def compare_query(  # noqa: PLR0913 - one argument for each part of the address
    request: Request,
    *,
    runs: Texts = [],  # noqa: B006 - FastAPI copies it
    checkpoints: Texts = [],  # noqa: B006
    hide: Texts = [],  # noqa: B006
    diff: DiffFrom = DiffFrom.LEFT,
    pin: int | None = Query(None, ge=1, le=LARGEST_ID),
    lines: Lines = Lines.EIGHT,
    changed: bool = False,
    align: Alignment = Alignment.OFF,
    transpose: bool = False,
    cell: str = "",
) -> CompareQuery:
    """Read the address; InvalidError for what is no list of ids."""
    lists = {"runs": runs, "checkpoints": checkpoints, "hide": hide}
    ids = {name: read_ids(name, texts) for name, texts in lists.items()}
    return CompareQuery(
        **ids,
        diff=DiffFrom.LEFT if diff is DiffFrom.PINNED and pin is None else diff,
        pin=pin if diff is DiffFrom.PINNED else None,
        lines=lines,
        changed=changed,
        align=align,
        transpose=transpose,
        cell=_cell(cell),
        is_plain=all(len(request.query_params.getlist(name)) <= 1 for name in lists),
    )


def _cell(text: str) -> tuple[int, int] | None:
    checkpoint, _, probe = text.partition(".")
    return (int(checkpoint), int(probe)) if is_id(checkpoint) and is_id(probe) else None


AskedComparison = Annotated[CompareQuery, Depends(compare_query)]
