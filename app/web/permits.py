"""What lasts longer than a request, such as a stream: it ends soon after the login or token that it began with."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from app.domain import accounts, db

CHECK_SECONDS = 20.0  # between two looks at the credential: hundreds may watch, and a minute is promised


@dataclass
class Permit:
    """Whether who began something may go on with it."""

    credential_id: int
    clock: Callable[[], float] = time.monotonic
    _checked_at: float = field(init=False)

    def __post_init__(self) -> None:
        """Count from now: the door has just looked."""
        self._checked_at = self.clock()

    async def holds(self) -> bool:
        """Whether the credential is good still; looked up once in a while."""
        if self.clock() - self._checked_at < CHECK_SECONDS:
            return True
        self._checked_at = self.clock()
        return await run_in_threadpool(self._look)

    def _look(self) -> bool:
        with db.reading() as session:
            return accounts.is_still_good(session, self.credential_id)


def permit_of(request: Request) -> Permit:
    """Return the permit of a request that the door has let in."""
    return Permit(request.state.user.credential_id)
