"""The table of what an admin has approved of model folders."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column
from sqlmodel import Field, SQLModel

from app.domain.columns import UtcDateTime, utc_now


class ModelApproval(SQLModel, table=True):
    """An admin has looked at exactly these files: another content is another approval."""

    __tablename__ = "model_approval"
    sha256: str = Field(primary_key=True)
    """Of the names and contents of all dangerous files of a folder, as `model_dangers` makes it."""
    source: str
    """Where they were when they were looked at: a folder, or a hub id."""
    files: list[dict[str, Any]] = Field(sa_column=Column(JSON, nullable=False))
    """`{"file", "kind", "size_bytes", "sha256"}` of each."""
    approved_by: str
    """The admin's name: it stays when the user goes."""
    approved_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
