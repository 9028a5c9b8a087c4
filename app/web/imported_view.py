"""What the page of a run says of where it comes from, when it was made by hand with xtuner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from app.domain.importing.storing import NEWS
from app.domain.messages import Message
from app.domain.models import Event, Run


@dataclass(frozen=True)
class ImportedPart:
    """Where a run comes from, and what to know of it."""

    folder: str
    config: str
    """Name of its config; empty where none could be read."""
    files: Mapping[int, Mapping[str, Any]]
    """What its checkpoints are in that folder, by iteration."""
    notes: Sequence[Message]


def build_imported(session: Session, run: Run) -> ImportedPart | None:
    """Read what the import found; None of a run that Temper trained."""
    if not run.imported_from:
        return None
    told = select(Event.data).where(Event.run_id == run.id, Event.kind == NEWS).order_by(col(Event.id).desc())
    data = session.exec(told).first() or {}
    return ImportedPart(
        folder=run.imported_from,
        config=data.get("config", ""),
        files={each["iteration"]: each for each in data.get("files", [])},
        notes=[Message(each["template"], each["values"]) for each in data.get("notes", [])],
    )
