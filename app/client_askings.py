"""What the client of the REST API asks about probes that are added to a run; both clients have it all."""

from typing import TypedDict

from app.client_runs import FINAL_STATES, POLL_SECONDS, keyed
from app.client_steps import Endpoint, Steps, ask, until


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


class AskingCalls:
    """Ask the checkpoints of runs that have ended."""

    @Endpoint
    def add_probe(
        self, run_id: int, question: str, *, group: str = "general", reference: str = "", key: str | None = None
    ) -> Steps[AddedProbe]:
        """
        Add a probe to a run, and have every checkpoint asked that still can answer.

        Args:
            key: a name of this request; sent again with the same one, it asks nothing twice.
        """
        body = {"question": question, "group": group, "reference": reference}
        return ask("POST", f"/runs/{run_id}/probes", json=body, headers=keyed(key))

    @Endpoint
    def askings(self, run_id: int) -> Steps[list[Asking]]:
        """Return what was asked after a run, the newest first."""
        return ask("GET", f"/runs/{run_id}/askings", "askings")

    @Endpoint
    def wait_for_asking(self, run_id: int, asking_id: int, *, poll_seconds: float = POLL_SECONDS) -> Steps[Asking]:
        """Wait until all has been answered, or cannot be."""

        def asked() -> Steps[Asking]:
            askings: list[Asking] = yield from ask("GET", f"/runs/{run_id}/askings", "askings")
            return next(each for each in askings if each["id"] == asking_id)

        return until(lambda asking: asking["state"] in FINAL_STATES, asked, poll_seconds=poll_seconds)
