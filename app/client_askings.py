"""What the client of the REST API asks about probes that are added to a run; `TemperClient` has it all."""

import time
from typing import Protocol, TypedDict, cast

from app.client_datasets import POLL_SECONDS, Connection


class Asking(TypedDict):
    """The asking of what checkpoints have no answer to."""

    id: int
    run_id: int
    state: str
    reason_message: str
    answers: int


class AddedProbe(TypedDict):
    """A probe that was added, and the asking that it waits for."""

    id: int
    group: str
    question: str
    reference: str
    asking: Asking


class AskingCalls(Connection, Protocol):
    """Ask the checkpoints of runs that have ended."""

    def add_probe(self, run_id: int, question: str, *, group: str = "general", reference: str = "") -> AddedProbe:
        """Add a probe to a run, and have every checkpoint asked that still can answer."""
        body = {"question": question, "group": group, "reference": reference}
        return cast("AddedProbe", self._ask("POST", f"/runs/{run_id}/probes", json=body))

    def askings(self, run_id: int) -> list[Asking]:
        """Return what was asked after a run, the newest first."""
        return cast("list[Asking]", self._ask("GET", f"/runs/{run_id}/askings")["askings"])

    def wait_for_asking(self, run_id: int, asking_id: int, *, poll_seconds: float = POLL_SECONDS) -> Asking:
        """Wait until all has been answered, or cannot be."""
        while True:
            asking = next(each for each in self.askings(run_id) if each["id"] == asking_id)
            if asking["state"] in {"finished", "failed"}:
                return asking
            time.sleep(poll_seconds)
