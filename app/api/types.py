"""What several API modules share: how ids and pages are spelled in an address."""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict

from app.web.deps import LARGEST_ID, Id

__all__ = ["LARGEST_ID", "Id", "Limit", "Offset", "Reply"]

Offset = Annotated[int, Query(ge=0, le=LARGEST_ID, description="How many to skip.")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many to return at most.")]


class Reply(BaseModel):
    """What every body of a success is made of."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)
