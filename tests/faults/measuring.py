"""What a fault cost: seconds until all was well again, iterations trained twice, anything doubled."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from sqlmodel import Session

from tests.conftest import wait_until
from tests.faults.site import Site, doubled, measured_after, now, repeated

RECOVERY_SECONDS = 90.0  # a test that waits longer has failed


@dataclass
class Fault:
    """One injected fault, timed by this process's monotonic clock."""

    number: str
    settings: str
    struck_at: float = 0.0
    seconds: float | None = None
    repeated: int = 0
    doubled: int = 0
    attempts: dict[int, int] = field(default_factory=dict)

    def strike(self, session: Session, *run_ids: int) -> None:
        """Note that the fault comes now, and in which attempt the runs are that it hits."""
        self.attempts = {run_id: now(session, run_id).attempt for run_id in run_ids}
        self.struck_at = time.monotonic()

    def strike_nothing(self) -> None:
        """Note that the fault comes now, and hits no run."""
        self.struck_at = time.monotonic()

    def over(self) -> None:
        """Note that all is well again; of several strikes the slowest recovery counts."""
        self.seconds = max(self.seconds or 0.0, time.monotonic() - self.struck_at)

    def wait(self, session: Session) -> None:
        """Wait until every run that it hit trains again or has ended."""
        for run_id, attempt in self.attempts.items():
            wait_until(
                lambda run_id=run_id, attempt=attempt: (  # type: ignore[misc]
                    measured_after(session, run_id, attempt) or now(session, run_id).state.is_final
                ),
                f"run {run_id} did not go on",
                seconds=RECOVERY_SECONDS,
            )
        self.over()

    def count(self, session: Session, site: Site, run_id: int) -> None:
        """Add what a run that has ended shows of repetition."""
        self.repeated += repeated(session, run_id)
        self.doubled += doubled(session, run_id, site.home)

    def write(self, path: Path, *, passed: bool) -> None:
        """Append the measurement to a file, one JSON object a line."""
        line = {
            "fault": self.number,
            "passed": passed,
            "seconds": self.seconds,
            "repeated": self.repeated,
            "doubled": self.doubled,
            "settings": self.settings,
        }
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
