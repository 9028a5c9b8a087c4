"""
What a recipe card tells of a run: what it was made of, what it did, and what to keep of it.

Reads; what the card looks like is in `app/web/cards.py`. It leaves out what is this machine's own:
folders, workers' names, who may log in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from app.config import settings
from app.domain.answers import compare
from app.domain.columns import utc_now
from app.domain.events import metrics_of
from app.domain.matrix import Column, ComparedRun, Matrix
from app.domain.mix_rows import RowCounts
from app.domain.mixes import count_rows
from app.domain.models import Checkpoint, Run
from app.domain.runs import get_run
from app.domain.thresholds import Thresholds
from app.domain.trainer_events import MetricMeasured
from app.domain.versions import kept_versions


@dataclass(frozen=True, slots=True)
class Card:
    """Everything that a card shows."""

    run: Run
    compared: ComparedRun
    matrix: Matrix
    counts: RowCounts
    metrics: Sequence[MetricMeasured]
    devices: Sequence[str]
    """What it trained on, each once, in the order of its attempts."""
    versions: dict[str, str]
    """Of the packages that trained it; empty of runs before these were written down."""
    kept_sha256: str
    """Of the weights of the checkpoint to keep."""
    model_source: str
    """A hub id; empty where the model is a folder of some machine."""
    thresholds: Sequence[tuple[str, float]]
    made_at: datetime

    @property
    def kept(self) -> Column | None:
        """The checkpoint to keep."""
        kept = self.compared.advice.checkpoint_id
        return None if kept is None else self.matrix.column(kept)


def read_card(session: Session, run_id: int) -> Card:
    """Read what a run's card shows; NotFoundError when there is no such run."""
    run = get_run(session, run_id)
    matrix = compare(session, run_ids=[run_id])
    compared = matrix.runs[0]
    kept = session.get(Checkpoint, compared.advice.checkpoint_id) if compared.advice.checkpoint_id else None
    source = run.model.source
    return Card(
        run=run,
        compared=compared,
        matrix=matrix,
        counts=count_rows(compared.recipe.mix),
        metrics=metrics_of(session, run_id),
        devices=tuple(dict.fromkeys(attempt.device for attempt in run.attempts if attempt.device)),
        versions=kept_versions(settings().run_folder(run_id)),
        kept_sha256=kept.sha256.partition("+")[0] if kept else "",
        model_source="" if source.startswith(("/", "~", ".")) or "\\" in source else source,
        thresholds=shown_thresholds(matrix.thresholds),
        made_at=utc_now(),
    )


def shown_thresholds(thresholds: Thresholds) -> tuple[tuple[str, float], ...]:
    """Return the limits that the verdicts were held against, each by its title."""
    fields = type(thresholds).model_fields
    return tuple((info.title or name, getattr(thresholds, name)) for name, info in fields.items())
