"""Tables about requests themselves."""

from datetime import datetime

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from app.domain.columns import CONSTRAINT_NAMES, UtcDateTime, utc_now

SQLModel.metadata.naming_convention = CONSTRAINT_NAMES


class KeptAnswer(SQLModel, table=True):
    """The first answer to a request that made something, under the key that its caller gave it."""

    __tablename__ = "kept_answer"
    __table_args__ = (UniqueConstraint("caller_id", "key_sha256"),)
    id: int | None = Field(default=None, primary_key=True)
    caller_id: int
    """A user's; no foreign key: the row is of no use to anybody else, and goes within a day."""
    key_sha256: str
    request_sha256: str
    """Of the method, the address and the body: the same key with another one is a mistake."""
    status: int = 0
    body: str = ""
    location: str = ""
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime, index=True)
