"""What several API modules share: how ids, lists of ids and pages are spelled in an address."""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict

from app.domain.errors import FieldError, InvalidError
from app.domain.messages import message
from app.web.deps import LARGEST_ID, Id

__all__ = ["LARGEST_ID", "Id", "Limit", "Offset", "Reply", "parse_ids"]

MOST_IDS = 500

Offset = Annotated[int, Query(ge=0, le=LARGEST_ID, description="How many to skip.")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many to return at most.")]


class Reply(BaseModel):
    """What every body of a success is made of."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)


def parse_ids(text: str, *, field: str) -> list[int]:
    """
    Read ids that stand in a query as `1,2,3`.

    Raises:
        InvalidError: naming `field`, when something in it is no id.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) > MOST_IDS:
        raise InvalidError([FieldError(field, message("These are too many; {limit} fit.", limit=MOST_IDS))])
    ids = [int(part) if part.isascii() and part.isdigit() and len(part) < 19 else 0 for part in parts]  # noqa: PLR2004
    if 0 in ids:
        raise InvalidError([FieldError(field, message("Give ids with commas between them, such as 1,2,3."))])
    return ids
