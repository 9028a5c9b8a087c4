"""Handles on runs: what can be asked of one, without naming it again."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from app.client_events import RunEvent
from app.client_runs import POLL_SECONDS, RunCalls
from app.client_steps import Awaiting, Blocking, Endpoint, Steps, T
from app.client_types import Checkpoint, Run

if TYPE_CHECKING:
    from app.client import AsyncTemperClient, TemperClient


class _HandleCalls:
    """What can be asked of one run."""

    id: int

    @Endpoint
    def look(self) -> Steps[Run]:
        """Return the run as it is now."""
        return RunCalls.run.steps(self, self.id)

    @Endpoint
    def wait(
        self, *, poll_seconds: float = POLL_SECONDS, on_change: Callable[[Run], None] = lambda _: None
    ) -> Steps[Run]:
        """Wait until the run has ended and return it."""
        return RunCalls.wait.steps(self, self.id, poll_seconds=poll_seconds, on_change=on_change)

    @Endpoint
    def stop(self, *, keep: bool = False) -> Steps[Run]:
        """Ask the run to stop; with `keep` it saves and answers a checkpoint first."""
        return RunCalls.stop.steps(self, self.id, keep=keep)

    @Endpoint
    def checkpoints(self) -> Steps[list[Checkpoint]]:
        """Return the run's checkpoints, the base model first."""
        return RunCalls.checkpoints.steps(self, self.id)

    @Endpoint
    def answers(self) -> Steps[list[dict[str, Any]]]:
        """Return every answer of the run."""
        return RunCalls.answers.steps(self, self.id)


class RunHandle(_HandleCalls, Blocking):
    """One run, and the client that knows it."""

    def __init__(self, client: "TemperClient", run_id: int) -> None:
        """Remember both."""
        self.client, self.id = client, run_id

    def drive(self, steps: Steps[T]) -> T:
        """Let the client do it."""
        return self.client.drive(steps)

    def events(self, *, after: int = 0) -> Iterator[RunEvent]:
        """Yield what happens to the run until it has ended."""
        return self.client.events(self.id, after=after)


class AsyncRunHandle(_HandleCalls, Awaiting):
    """The same for programs that await."""

    def __init__(self, client: "AsyncTemperClient", run_id: int) -> None:
        """Remember both."""
        self.client, self.id = client, run_id

    async def drive(self, steps: Steps[T]) -> T:
        """Let the client do it."""
        return await self.client.drive(steps)

    def events(self, *, after: int = 0) -> AsyncIterator[RunEvent]:
        """Yield what happens to the run until it has ended."""
        return self.client.events(self.id, after=after)
