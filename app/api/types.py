"""What several API modules share: how ids and pages are spelled in an address."""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict

from app.web.deps import LARGEST_ID, Id

__all__ = ["LARGEST_ID", "MOST_LISTED", "Id", "Limit", "Reply"]

MOST_LISTED = 200
MOST_IDS = 10_000  # characters of a list
_LIST = {"pattern": "^[0-9, ]*$"}  # only described: what is no list is refused where it is read, in a better sentence
CheckpointIds = Annotated[
    str, Query(examples=["1,2,3"], max_length=MOST_IDS, json_schema_extra=_LIST, description="Ids of checkpoints.")
]
RunIds = Annotated[
    str, Query(examples=["7,8"], max_length=MOST_IDS, json_schema_extra=_LIST, description="Ids of runs, each whole.")
]
Limit = Annotated[int, Query(ge=1, le=MOST_LISTED, description="How many to return at most.")]


class Reply(BaseModel):
    """What every body of a success is made of."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)
