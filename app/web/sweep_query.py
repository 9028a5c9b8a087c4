"""A sweep's address: the order of its rows, what its columns count, what its colours say, which cell is open."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends

from app.domain.sweep_plans import SweepSetting
from app.web.addresses import id_in
from app.web.deps import Id


class Along(StrEnum):
    """What the columns of a heat map count."""

    ITERATION = "iteration"
    SHARE = "share"
    """Of each run, 0 to 1: runs of differing length stand one under the other."""


class Shade(StrEnum):
    """What the colours of a heat map say."""

    VERDICT = "verdict"
    LEAK = "leak"
    IDENTITY = "identity"


@dataclass(frozen=True, slots=True)
class SweepQuery:
    """How a sweep is shown."""

    sweep_id: int
    order: SweepSetting | None = None
    """The setting by which rows are ordered; None for the ratio."""
    along: Along | None = None
    """None where the page may choose."""
    shade: Shade = Shade.VERDICT
    sort: str = ""
    """Column of the table of runs, `-` before it for falling; empty for the order of the heat map."""
    cell: int | None = None
    """Checkpoint whose answers are open."""

    def url(self, path: str = "", **changes: Any) -> str:  # noqa: ANN401 - the fields above
        """Write the address with some of its choices changed; `path` is below the sweep's own."""
        new = replace(self, **changes)
        pairs = {
            "order": new.order.value if new.order else "",
            "along": new.along.value if new.along else "",
            "shade": "" if new.shade is Shade.VERDICT else new.shade.value,
            "sort": new.sort,
            "cell": str(new.cell) if new.cell else "",
        }
        query = urlencode({name: value for name, value in pairs.items() if value})
        return f"/sweeps/{self.sweep_id}{path}{'?' if query else ''}{query}"

    def sorted_by(self, key: str) -> str:
        """Write the address that sorts the runs by a column; the other way round when it does already."""
        return self.url(sort=key if self.sort == f"-{key}" else f"-{key}")

    def direction(self, key: str) -> str:
        """Return `ascending` or `descending` when the runs are sorted by this column, else nothing."""
        return {f"-{key}": "descending", key: "ascending"}.get(self.sort, "")


def sweep_query(
    sweep_id: Id, *, order: str = "", along: str = "", shade: str = "", sort: str = "", cell: str = ""
) -> SweepQuery:
    """Read the address; what cannot be read is as if it were not there, as links grow old."""
    return SweepQuery(
        sweep_id,
        order=SweepSetting(order) if order in set(SweepSetting) else None,
        along=Along(along) if along in set(Along) else None,
        shade=Shade(shade) if shade in set(Shade) else Shade.VERDICT,
        sort=sort[:60],
        cell=id_in(cell),
    )


AskedSweep = Annotated[SweepQuery, Depends(sweep_query)]
