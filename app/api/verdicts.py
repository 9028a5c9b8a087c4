"""Thresholds of the verdicts: what scores are held against, and what changing them does."""

from collections import Counter
from typing import Any

from fastapi import APIRouter

from app.api.errors import documented
from app.api.exchange import IfMatch, check_match
from app.api.types import Reply
from app.domain.datasets.uses import take_turns
from app.domain.rescoring import foresee, put_in_force
from app.domain.thresholds import DEFAULTS, Thresholds, read_thresholds
from app.domain.verdicts import Verdict
from app.web.deps import ReadSession, WriteSession

router = APIRouter(prefix="/verdicts", tags=["verdicts"])


class ThresholdReply(Reply):
    """One threshold."""

    name: str
    title: str
    help: str
    unit: str
    """Empty for shares."""
    value: float
    """In force."""
    default: float


class ThresholdList(Reply):
    """Every threshold of the verdicts."""

    thresholds: list[ThresholdReply]


class VerdictChange(Reply):
    """How many checkpoints went from one verdict to another."""

    before: Verdict | None
    after: Verdict | None
    checkpoints: int


class ChangedThresholds(ThresholdList):
    """The thresholds as they are now, and what the change did."""

    changes: list[VerdictChange]
    """Of the newest runs, the most first."""
    runs: int
    """Over how many of the newest runs with answers the changes are counted."""
    rest_follows: bool
    """There are older runs, which are not counted; whoever reads them gets the new verdicts all the same."""


@router.get("", summary="Read the thresholds")
def get_thresholds(session: ReadSession) -> ThresholdList:
    """Return what the scores of answers are held against."""
    return ThresholdList(thresholds=_thresholds(read_thresholds(session)))


@router.put("", summary="Change the thresholds", responses=documented(412))
def put_thresholds(
    wanted: Thresholds, reading: ReadSession, session: WriteSession, if_match: IfMatch = ""
) -> ChangedThresholds:
    """
    Put thresholds in force for all runs, old ones too; takes an admin.

    Those that the body does not name go back to their default: `{}` resets all of them.
    """
    outcome = foresee(reading, wanted.model_dump())
    if if_match:
        take_turns(session)
        check_match(if_match, ThresholdList(thresholds=_thresholds(read_thresholds(session))))
    put_in_force(session, wanted.model_dump())  # begins to write only now: what comes before takes a second or two
    counts = Counter((change.before, change.after) for change in outcome.changes)
    return ChangedThresholds(
        thresholds=_thresholds(outcome.thresholds),
        changes=[
            VerdictChange(before=before, after=after, checkpoints=count)
            for (before, after), count in counts.most_common()
        ],
        runs=outcome.runs,
        rest_follows=not outcome.is_all,
    )


def _thresholds(limits: Thresholds) -> list[ThresholdReply]:
    return [
        ThresholdReply(
            name=name,
            title=info.title or name,
            help=info.description or "",
            unit=_unit(info.json_schema_extra),
            value=getattr(limits, name),
            default=getattr(DEFAULTS, name),
        )
        for name, info in Thresholds.model_fields.items()
    ]


def _unit(extra: Any) -> str:  # noqa: ANN401 - pydantic's own
    return str(extra["unit"])
