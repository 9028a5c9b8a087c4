"""
A run as it happens: every line of its ledger as a server-sent event with JSON in it.

It is the stream that the run's page lives on. The id of an event is the id of its row: whoever
comes back says which one it had last (`Last-Event-ID`) and misses nothing. The last event is `over`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from fastapi.sse import format_sse_event
from pydantic import Field, TypeAdapter, ValidationError

from app.api.errors import documented
from app.api.types import Reply
from app.domain.models import ArtifactState, Event, RunState, StopCause
from app.domain.trainer_events import DamagedCheckpoint
from app.web.event_streams import EventStream, FirstEvent, Look, Reader, WatchedRun, stream_to
from app.web.limits import StreamPlace
from app.web.permits import Permit, permit_of

router = APIRouter(prefix="/runs", tags=["runs"])


class _RunEvent(Reply):
    """What every event says."""

    id: int
    run_id: int
    attempt: int
    iteration: int
    created_at: datetime


class StateChanged(_RunEvent):
    """The run is in another state."""

    kind: Literal["state"]
    state: RunState


class PhaseChanged(_RunEvent):
    """The trainer does something else now."""

    kind: Literal["phase"]
    phase: str


class Planned(_RunEvent):
    """How long the run is, once its data is packed."""

    kind: Literal["plan"]
    iterations: int
    updates: int
    samples: int
    trainable_parameters: int
    parameters: int


class Measured(_RunEvent):
    """One iteration was trained."""

    kind: Literal["metric"]
    loss: float | None
    learning_rate: float
    grad_norm: float | None
    seconds: float
    memory_bytes: int


class Saved(_RunEvent):
    """A checkpoint is whole on the disk."""

    kind: Literal["checkpoint"]
    updates: int
    size_bytes: int


class Answered(_RunEvent):
    """A checkpoint has answered all probes: `GET /runs/ID/answers` has the texts."""

    kind: Literal["answers"]
    seconds: float
    dtype: str
    quantised: bool


class Resumed(_RunEvent):
    """The run goes on from a checkpoint; what was measured after it is measured again."""

    kind: Literal["resumed"]
    damaged: list[DamagedCheckpoint]


class Retired(_RunEvent):
    """Retention deleted a checkpoint's files; its answers stay."""

    kind: Literal["retired"]


class StopAsked(_RunEvent):
    """A rule stops the run: of its recipe, or of its sweep."""

    kind: Literal["stop"]
    cause: StopCause
    iterations: list[int]
    """The checkpoints that it saw."""


class AskingChanged(_RunEvent):
    """What is asked after the run is in another state."""

    kind: Literal["asking"]
    asking: int
    state: ArtifactState


class PassedOver(_RunEvent):
    """A checkpoint could not be asked after the run."""

    kind: Literal["passed-over"]
    problem: str


class Ended(_RunEvent):
    """The trainer has ended, as it saw it itself."""

    kind: Literal["end"]
    outcome: str
    reason: str
    detail: str


class Over(Reply):
    """The run has ended, and nothing more will come."""

    kind: Literal["over"] = "over"
    id: int
    run_id: int


RunEvent = Annotated[
    StateChanged
    | PhaseChanged
    | Planned
    | Measured
    | Saved
    | Answered
    | Resumed
    | Retired
    | StopAsked
    | AskingChanged
    | PassedOver
    | Ended
    | Over,
    Field(discriminator="kind"),
]
run_events: TypeAdapter[RunEvent] = TypeAdapter(RunEvent)


def event_reply(event: Event) -> RunEvent | None:
    """Return a line of the ledger as the API shows it; None of a kind that is no news to anybody."""
    own = {name: getattr(event, name) for name in ("id", "run_id", "attempt", "kind", "iteration", "created_at")}
    try:
        return run_events.validate_python(event.data | own)
    except ValidationError:
        return None


def _sent(reply: RunEvent) -> bytes:
    return format_sse_event(event=reply.kind, data_str=reply.model_dump_json(), id=str(reply.id))


class Program(Reader):
    """A program: every event, and that nothing more will come."""

    @staticmethod
    def write(events: Sequence[Event]) -> bytes:
        """Return events as JSON; those of a kind that is no news to anybody are left out."""
        return b"".join(_sent(reply) for event in events if (reply := event_reply(event)) is not None)

    def cues(self, look: Look, now: float) -> bytes:  # noqa: ARG002 - all is told at once
        """Return the last event, once there is no other."""
        return _sent(Over(id=self.after, run_id=look.run_id)) if look.is_over else b""


DESCRIPTION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events until the run has ended, or for ten minutes: then come back with `Last-Event-ID`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.get(
    "/{run_id}/events",
    summary="Watch a run",
    response_class=EventStream,
    responses=documented(404) | DESCRIPTION,
)
async def watch_run(
    run_id: WatchedRun, after: FirstEvent, permit: Annotated[Permit, Depends(permit_of)], _place: StreamPlace
) -> EventStream:
    """
    Stream what happens to a run as server-sent events, from its beginning or after `Last-Event-ID`.

    The name of an event is its `kind`; its data is one of the shapes of `RunEvent` as JSON.
    """
    return stream_to(Program(after), run_id, permit)
