"""
One command of the engine, from its start to its end, while a claim on its work is renewed.

For what is made beside training: artifacts, models ready to train, and answers to probes that
were added later.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from app.domain.models import ReasonKind
from worker.children import Place, start_child, tail_of
from worker.endings import reason_of
from worker.gpus import Device
from worker.leases import Renewal
from worker.leaving import is_leaving

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
RETRY_SECONDS = 1.0  # between two tries to store the rest
MOST_DETAIL = 2_000  # characters


@dataclass(frozen=True)
class Outcome:
    """How one engine command ended."""

    exit_code: int
    said: str
    """Its last lines."""
    was_interrupted: bool
    """This worker leaves, or the claim is another's: nothing may be written down."""

    @property
    def reason(self) -> ReasonKind:
        """Why it failed: what the engine named, or what its exit tells."""
        named = self.said.rpartition("\n")[2].partition(":")[0]
        return ReasonKind(named) if named in set(ReasonKind) else reason_of(self.exit_code, self.said)

    @property
    def detail(self) -> str:
        """The failure's own words: the engine's last line."""
        if self.exit_code < 0:
            return str(-self.exit_code)
        last = self.said.rpartition("\n")[2]
        words = last.partition(": ")[2] if last.partition(":")[0] in set(ReasonKind) else last
        return words[:MOST_DETAIL]


def run_command(
    arguments: Sequence[str],
    *,
    place: Place,
    renew: Callable[[], bool],
    device: Device | None = None,
    look: Callable[[], None] = lambda: None,
) -> Outcome:
    """
    Run one engine command to its end, or until this worker leaves or has lost the claim.

    Args:
        renew: renews the claim, and says whether it is still ours.
        look: reads what the command has written so far; also called when it has ended.
    """
    child = start_child(arguments, place=place, device=device)
    renewal, is_ours = Renewal(), True
    try:
        while child.exit_code() is None and is_ours and not is_leaving():
            if renewal.is_due():
                is_ours = _renewed(renewal, renew)
            _tolerating(look)
            time.sleep(TICK_SECONDS)
        was_interrupted = child.exit_code() is None
    finally:
        code = child.end()
    if is_ours:
        _look_at_the_rest(renewal, look)
    return Outcome(code, tail_of(place.log, lines=8), was_interrupted)


def _renewed(renewal: Renewal, renew: Callable[[], bool]) -> bool:
    """Renew a claim; a database that does not answer is asked again until the claim has run out."""
    asked_at = time.monotonic()
    try:
        is_ours = renew()
    except SQLAlchemyError as error:
        log.warning("a claim could not be renewed: %s", error)
        return not renewal.is_lost
    renewal.succeeded(asked_at)
    return is_ours


def _tolerating(look: Callable[[], None]) -> bool:
    """Look; False where a database that does not answer could not take it: it is read again at the next look."""
    try:
        look()
    except SQLAlchemyError as error:
        log.warning("what a command has written could not be stored yet: %s", error)
        return False
    return True


def _look_at_the_rest(renewal: Renewal, look: Callable[[], None]) -> None:
    """Look until it could be stored, or the claim has run out: then whoever has it next asks for the rest."""
    while not _tolerating(look) and not renewal.is_lost:
        time.sleep(RETRY_SECONDS)
