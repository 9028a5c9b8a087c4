"""When a trainer that tells nothing counts as stalled, by its own pace."""

import time
from dataclasses import dataclass, field

from app.config import settings

STEPS = 20  # an iteration that takes so many times the usual one is not slow but stuck
ANSWERINGS = 5  # of the longest so far; longer answers come with training


@dataclass
class Pace:
    """How fast a trainer is, and when it was last heard of; by this process's clock."""

    steps: list[float] = field(default_factory=list)
    """Seconds of the last iterations."""
    longest_answering: float = 0.0
    phase: str = "loading"
    heard_at: float = field(default_factory=time.monotonic)

    def hear(self) -> None:
        """Note that the trainer told something."""
        self.heard_at = time.monotonic()

    def step(self, seconds: float) -> None:
        """Note how long an iteration took."""
        self.steps = [*self.steps[-(STEPS - 1) :], seconds]

    @property
    def patience(self) -> float:
        """Seconds of silence after which the trainer is stalled in what it does now."""
        if not self.steps:
            return max(settings().loading_seconds, settings().stall_seconds)
        usual = sorted(self.steps)[len(self.steps) // 2]
        if self.phase == "training":
            return max(settings().stall_seconds, STEPS * usual)
        return max(settings().stall_seconds, STEPS * usual, ANSWERINGS * self.longest_answering)

    @property
    def silence(self) -> float:
        """Seconds since the trainer last told anything."""
        return time.monotonic() - self.heard_at
