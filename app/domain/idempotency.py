"""
The same request again makes nothing again: it is answered as the first time.

A caller names a request by a key of its own. The key, a hash of the request and its answer are
stored in the very transaction that makes what was asked for, so that both are there or neither,
and of two that come at the same moment the second waits for the first one's answer.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from sqlmodel import Session, col, delete, select

from app.domain import db
from app.domain.columns import utc_now
from app.domain.errors import ConflictError
from app.domain.messages import message
from app.domain.request_models import KeptAnswer

KEPT_FOR = timedelta(days=1)  # who asks again after that, asks anew


@dataclass(frozen=True)
class KeyedRequest:
    """A request under the key of its caller."""

    caller_id: int
    key: str
    request: bytes
    """Its method and address, and its body or a hash of it."""

    @property
    def key_sha256(self) -> str:
        """What is stored of the key."""
        return hashlib.sha256(self.key.encode()).hexdigest()

    @property
    def request_sha256(self) -> str:
        """What is stored of the request."""
        return hashlib.sha256(self.request).hexdigest()


def find_answer(session: Session, asked: KeyedRequest) -> KeptAnswer | None:
    """
    Return the answer to a request that came before; None to one that is new.

    Raises:
        ConflictError: the key names another request.
    """
    found = session.exec(
        select(KeptAnswer).where(
            KeptAnswer.caller_id == asked.caller_id,
            KeptAnswer.key_sha256 == asked.key_sha256,
            col(KeptAnswer.created_at) > utc_now() - KEPT_FOR,
        )
    ).first()
    if found is not None and found.request_sha256 != asked.request_sha256:
        raise ConflictError(message("This Idempotency-Key names another request already. Give each its own."))
    return found


def claim_key(session: Session, asked: KeyedRequest) -> KeptAnswer | None:
    """
    Take a key for a request; None where another request has it: then `find_answer` has its answer.

    Where the same request is under way in another transaction, this waits for its end.
    """
    session.exec(delete(KeptAnswer).where(col(KeptAnswer.created_at) <= utc_now() - KEPT_FOR))
    row = KeptAnswer(caller_id=asked.caller_id, key_sha256=asked.key_sha256, request_sha256=asked.request_sha256)
    return db.add_once(session, row, key=["caller_id", "key_sha256"])
