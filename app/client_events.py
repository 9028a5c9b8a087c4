"""Live events of a run: put together out of lines, and taken up again where a connection broke."""

import json
import time
from typing import NotRequired, TypedDict

from app.client_steps import PATIENCE_SECONDS, Answer, Request, TemperError, refused

COME_BACK_SECONDS = 1.0
OVER = "over"


class RunEvent(TypedDict):
    """One thing that happened to a run; what else it holds depends on its kind."""

    id: int
    run_id: int
    kind: str
    iteration: NotRequired[int]
    state: NotRequired[str]
    loss: NotRequired[float | None]


class EventReader:
    """Reads one run's stream of events, over as many connections as it takes."""

    def __init__(self, run_id: int, *, after: int = 0) -> None:
        """Begin behind an event; 0 begins with the first there is."""
        self.run_id, self.last_id = run_id, after
        self.is_over = False
        self._data: list[str] = []
        self._heard_at = time.monotonic()

    def request(self) -> Request:
        """Return what asks for the events that are still to come."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(self.last_id)}
        return Request("GET", f"/api/v1/runs/{self.run_id}/events", headers=headers)

    def take(self, line: str) -> RunEvent | None:
        """Take a line of the stream; returns an event where it ends one."""
        self._heard_at = time.monotonic()
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        if line or not self._data:
            return None
        event: RunEvent = json.loads("\n".join(self._data))
        self._data = []
        self.last_id, self.is_over = event["id"], event["kind"] == OVER
        return event

    def refused(self, reply: Answer) -> float:
        """Return how long to wait before the next try; TemperError where that is of no use."""
        after = reply.headers.get("Retry-After", "")
        if not after.isdecimal() or time.monotonic() - self._heard_at > PATIENCE_SECONDS:
            raise refused(reply)
        return int(after)

    def broken(self, error: Exception) -> float:
        """Return how long to wait after a connection broke; TemperError where no server has answered for long."""
        self._data = []
        if time.monotonic() - self._heard_at > PATIENCE_SECONDS:
            raise TemperError(0, "unreachable", f"The stream of events broke off: {error}") from error
        return COME_BACK_SECONDS
