"""A run's events as a stream: replayed from the ledger, each once, whoever comes back when."""

import json
import threading
from functools import partial
from typing import Any

import pytest
from fastapi.sse import KEEPALIVE_COMMENT
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.config import settings
from app.domain.attempts import Ending, end_attempt
from app.domain.events import events_after
from app.domain.models import Event, RunState
from app.domain.presence import wake_watchers
from app.domain.runs import id_of
from app.web import event_streams
from app.web.event_streams import SILENCE_SECONDS, Look
from app.web.streams import Page
from tests.factories import make_metrics, make_run

Message = tuple[str | None, int, Any]
"""Event, id and data."""


def read_stream(client: TestClient, path: str, **headers: str) -> list[Message]:
    """Read a stream to its end; (event, id, data) of each message."""
    text = client.get(path, headers=headers).text
    messages = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            messages.append((lines.get("event"), int(lines["id"]), json.loads(lines["data"])))
    return messages


def iterations(messages: list[Message]) -> list[int]:
    return [data[0] for event, _, data in messages if event == "metric"]


def test_a_finished_run_is_replayed_whole_and_then_ends(client: TestClient, session: Session) -> None:
    """Who starts at the beginning gets every point in order, a cue and the end."""
    run = make_run(session, state=RunState.FINISHED)
    make_metrics(session, run, iterations=range(1, 8))

    messages = read_stream(client, f"/runs/{run.id}/events")

    assert iterations(messages) == [1, 2, 3, 4, 5, 6, 7]
    assert [event for event, _, _ in messages][-2:] == ["status", "end"]


def test_an_events_id_is_its_row_in_the_ledger(client: TestClient, session: Session) -> None:
    """The id that a browser sends back names the row after which to go on."""
    run = make_run(session, state=RunState.FINISHED)
    events = make_metrics(session, run, iterations=range(1, 4))

    messages = read_stream(client, f"/runs/{run.id}/events")

    assert [number for event, number, _ in messages if event == "metric"] == [event.id for event in events]


def test_a_reader_who_comes_back_gets_only_what_is_new(client: TestClient, session: Session) -> None:
    """`Last-Event-ID` wins over the page's own `after`: nothing is lost and nothing comes twice."""
    run = make_run(session, state=RunState.FINISHED)
    events = make_metrics(session, run, iterations=range(1, 6))

    by_header = read_stream(client, f"/runs/{run.id}/events?after=0", **{"Last-Event-ID": str(events[2].id)})
    by_address = read_stream(client, f"/runs/{run.id}/events?after={events[3].id}")

    assert iterations(by_header) == [4, 5]
    assert iterations(by_address) == [5]


@pytest.mark.parametrize("header", ["", "abc", "-1", "9" * 40, "1e3"])
def test_a_last_event_id_that_is_none_is_ignored(client: TestClient, session: Session, header: str) -> None:
    """A header that holds no id starts where the page said."""
    run = make_run(session, state=RunState.FINISHED)
    make_metrics(session, run, iterations=range(1, 3))

    assert iterations(read_stream(client, f"/runs/{run.id}/events?after=0", **{"Last-Event-ID": header})) == [1, 2]


def test_a_run_that_is_not_there_has_no_stream(client: TestClient) -> None:
    """An unknown run is a plain 404, not a stream that fails."""
    assert client.get("/runs/999/events").status_code == 404


def test_more_events_than_one_look_takes_all_arrive(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger longer than one read is followed to its last line before the stream ends."""
    monkeypatch.setattr(event_streams, "events_after", partial(events_after, limit=3))
    run = make_run(session, state=RunState.FINISHED)
    make_metrics(session, run, iterations=range(1, 11))

    assert iterations(read_stream(client, f"/runs/{run.id}/events")) == list(range(1, 11))


@pytest.mark.parametrize("has_redis", [True, False])
def test_what_is_written_while_somebody_listens_arrives(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch, *, has_redis: bool
) -> None:
    """New points arrive by a wake-up, and without Redis by looking every so often."""
    if not has_redis:
        monkeypatch.setenv("TEMPER_REDIS_URL", "redis://127.0.0.1:1/0")
        settings.cache_clear()
        monkeypatch.setattr(event_streams, "LOOK_SECONDS", 0.3)
    run = make_run(session, state=RunState.RUNNING)
    make_metrics(session, run, iterations=range(1, 4))

    def train_on() -> None:
        with Session(session.get_bind()) as other:
            make_metrics(other, run, iterations=range(4, 7))
            end_attempt(other, id_of(run), attempt=1, ending=Ending(RunState.FINISHED))
            other.commit()
        wake_watchers(id_of(run))

    timer = threading.Timer(0.5, train_on)
    timer.start()
    messages = read_stream(client, f"/runs/{run.id}/events")
    timer.join()

    assert iterations(messages) == [1, 2, 3, 4, 5, 6]
    assert messages[-1][0] == "end"


def test_an_old_connection_is_closed_without_an_end(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection's life is capped; the browser comes back, because it heard no `end`."""
    monkeypatch.setattr(event_streams, "LIFE_SECONDS", 0.3)
    run = make_run(session, state=RunState.RUNNING)
    make_metrics(session, run, iterations=range(1, 3))

    messages = read_stream(client, f"/runs/{run.id}/events")

    assert iterations(messages) == [1, 2]
    assert "end" not in [event for event, _, _ in messages]


def test_the_curves_history_has_each_iteration_once(client: TestClient, session: Session) -> None:
    """A resumed attempt that trains an iteration again takes the place of the old point."""
    run = make_run(session, state=RunState.RUNNING)
    make_metrics(session, run, iterations=[1, 2, 3])
    make_metrics(session, run, iterations=[3, 4])

    history = client.get(f"/runs/{run.id}/metrics.json").json()

    assert [point[0] for point in history["points"]] == [1, 2, 3, 4]
    assert history["iterations"] == run.iterations


# ── What one who watches is told ───────────────────────────────────────────


def looked(*ids: int, is_over: bool = False) -> Look:
    """Return a look that found events of these ids."""
    events = [Event(id=each, run_id=1, attempt=1, iteration=each, kind="checkpoint", data={}) for each in ids]
    return Look(1, events, has_more=False, is_over=is_over)


def test_cues_are_a_second_apart_and_none_is_lost() -> None:
    """A page fetches its panel with each: news of a burst is one cue, and the last news comes with one."""
    clock = iter([0.0, 0.0, 0.4, 0.8, 1.1, 5.0]).__next__
    reader = Page(0, clock)

    told = [
        reader.told(looked(1), b""),
        reader.told(looked(2), b""),
        reader.told(looked(), b""),
        reader.told(looked(), b""),
    ]

    assert told == [b"event: status\ndata: 1\nid: 1\n\n", b"", b"", b"event: status\ndata: 2\nid: 2\n\n"]
    assert reader.told(looked(), b"") == b""


def test_the_end_comes_with_a_last_cue_whatever_the_clock_says() -> None:
    """The page shows how the run ended."""
    reader = Page(0, lambda: 0.0)
    reader.told(looked(1), b"")

    assert reader.told(looked(2, is_over=True), b"").split(b"\n")[::4] == [b"event: status", b"event: end", b""]


def test_silence_is_broken_by_a_comment() -> None:
    """So that a proxy keeps the connection, and a reader who has gone is noticed."""
    clock = iter([0.0, SILENCE_SECONDS - 1, SILENCE_SECONDS, SILENCE_SECONDS + 1]).__next__
    reader = Page(7, clock)

    assert [reader.told(looked(), b"") for _ in range(3)] == [b"", KEEPALIVE_COMMENT, b""]
