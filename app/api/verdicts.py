"""Thresholds of the verdicts: what scores are held against, and what changing them does."""

from collections import Counter
from typing import Any

from fastapi import APIRouter

from app.api.types import Reply
from app.domain.stored_scores import put_in_force
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
    """Of the newest 25 runs, the most first."""
    rest_follows: bool
    """A worker stores the scores of older runs; whoever reads them before gets the new verdicts all the same."""


@router.get("", summary="Read the thresholds")
def get_thresholds(session: ReadSession) -> ThresholdList:
    """Return what the scores of answers are held against."""
    return ThresholdList(thresholds=_thresholds(read_thresholds(session)))


@router.put("", summary="Change the thresholds")
def put_thresholds(wanted: Thresholds, session: WriteSession) -> ChangedThresholds:
    """
    Put thresholds in force for all runs, old ones too; takes an admin.

    Those that the body does not name go back to their default: `{}` resets all of them.
    """
    outcome = put_in_force(session, wanted.model_dump())
    counts = Counter((change.before, change.after) for change in outcome.changes)
    return ChangedThresholds(
        thresholds=_thresholds(outcome.thresholds),
        changes=[
            VerdictChange(before=before, after=after, checkpoints=count)
            for (before, after), count in counts.most_common()
        ],
        rest_follows=outcome.rest_follows,
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
