"""
Leave when asked to: SIGUSR1 saves first, SIGUSR2 saves and answers first.

Nothing interrupts an iteration or the writing of a checkpoint: the request is met when they are
done. Before the first iteration there is nothing to save, and the training ends where it is; so
it does while answering, if the request is in a hurry: those answers are asked again when the run
goes on.
"""

import signal
from dataclasses import dataclass
from enum import Enum, auto
from types import FrameType


class Leave(BaseException):
    """The training ends here, as it was asked to: no error, so that no `except Exception` stops it."""


class Stage(Enum):
    """What a request may interrupt."""

    LOADING = auto()
    """Everything is there to be done again."""
    WORKING = auto()
    """An iteration, or the writing of a checkpoint."""
    ANSWERING = auto()
    """Only a request in a hurry interrupts it."""


@dataclass
class Departure:
    """Whether this process was asked to leave, and what it is in the middle of."""

    is_asked: bool = False
    is_hurried: bool = False
    stage: Stage = Stage.LOADING
    saved: int = 0
    """The iteration of the newest checkpoint of this process."""

    def listen(self) -> None:
        """Take the two signals from now on."""
        signal.signal(signal.SIGUSR1, self._hear)
        signal.signal(signal.SIGUSR2, self._hear)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        self.is_asked = True
        self.is_hurried = self.is_hurried or number == signal.SIGUSR1
        self.enter(self.stage)

    def enter(self, stage: Stage) -> None:
        """Begin something else; a request that came before is met now if it may be."""
        self.stage = stage
        if self.is_asked and (stage is Stage.LOADING or (stage is Stage.ANSWERING and self.is_hurried)):
            raise Leave

    def leave_if_saved(self, iteration: int) -> None:
        """Meet a request between two iterations, once the first of them is saved."""
        if self.is_asked and self.saved == iteration:
            raise Leave


departure = Departure()
