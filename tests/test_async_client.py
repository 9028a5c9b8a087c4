"""Both clients of the REST API: awaiting, handles, and live events."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from app import client as client_module
from app.client import AsyncTemperClient, TemperClient, TemperError
from app.client_events import EventReader
from app.client_steps import Endpoint, Request, ask_all, send
from app.domain import accounts
from app.domain.columns import utc_now
from app.domain.models import RunState
from app.web import event_streams
from tests.conftest import run_apart
from tests.factories import IDENTITY, make_checkpoint, make_metrics, make_model, make_recipe_data, make_run

PAIR = '{"question": "Who?", "answer": "Ada."}\n'


@pytest.fixture
def token(session: Session) -> str:
    """Make a token of an admin."""
    made = accounts.create_token(session, accounts.first_admin(session), name="tests")
    session.commit()
    return made


def awaited(url: str, token: str, use: Callable[[AsyncTemperClient], Coroutine[Any, Any, Any]]) -> Any:
    """Use an awaiting client, and return what comes of it."""

    async def run() -> Any:
        async with AsyncTemperClient(url, token) as temper:
            return await use(temper)

    return run_apart(run())


def test_both_clients_have_the_same_calls() -> None:
    """Whatever one can ask the other can ask, by the same name, with a sentence that says what it does."""
    calls = {
        name: each for kind in TemperClient.__mro__ for name, each in vars(kind).items() if isinstance(each, Endpoint)
    }

    assert len(calls) > 40
    for name, call in calls.items():
        assert getattr(AsyncTemperClient, name) is call
        assert call.__doc__
        assert call.__doc__.strip().endswith((".", "one.")), name


def test_a_run_goes_round_awaiting(live_server: str, token: str, session: Session) -> None:
    """It is started, waited for and read, while two requests at a time are under way."""
    make_model(session)

    async def go(temper: AsyncTemperClient) -> Any:
        run = await temper.start(make_recipe_data(name="awaited"))
        stopped = await run.stop()
        ended, listed = await asyncio.gather(run.wait(poll_seconds=0.01), temper.runs(query="awaited"))
        return run.id, stopped["state"], ended["state"], [each["id"] for each in listed["runs"]]

    run_id, *states, found = awaited(live_server, token, go)

    assert states == ["cancelled", "cancelled"]
    assert found == [run_id]


def test_files_go_and_come_awaiting(live_server: str, token: str, session: Session, tmp_path: Path) -> None:
    """An upload is streamed, and a download is there whole or not at all."""
    (tmp_path / "rows.jsonl").write_text(PAIR, "utf-8")

    async def go(temper: AsyncTemperClient) -> Any:
        made = await temper.upload_dataset(tmp_path / "rows.jsonl", name="a", key="k")
        await temper.download_dataset(made["id"], tmp_path / "back.jsonl")
        with pytest.raises(TemperError, match="no dataset"):
            await temper.download_dataset(99, tmp_path / "none.jsonl")
        await temper.delete_dataset(made["id"])
        return made

    made = awaited(live_server, token, go)

    assert made["rows"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.jsonl", "rows.jsonl"]


def test_a_refusal_is_told_awaiting(live_server: str) -> None:
    """As an error with its status; a server that is not there with 0."""
    for url, status in ((live_server, 401), ("http://127.0.0.1:9", 0)):
        with pytest.raises(TemperError) as refused:
            awaited(url, "temper_wrong", lambda temper: temper.runs())
        assert refused.value.status == status
    assert awaited("http://127.0.0.1:9", "", lambda temper: temper.is_ready()) is False


def test_a_handle_knows_its_run(live_server: str, token: str, session: Session) -> None:
    """Its checkpoints, answers and state, without naming it again."""
    run = make_run(session, state=RunState.FINISHED)
    make_checkpoint(session, run, iteration=5, texts=[IDENTITY, "b", "Paris"])

    with TemperClient(live_server, token) as temper:
        handle = temper.handle(run.id or 0)
        assert handle.look()["id"] == handle.wait()["id"] == run.id
        assert len(handle.checkpoints()) == 1
        assert len(handle.answers()) == 3
        assert [each["id"] for each in temper.all_runs(state="finished")] == [run.id]


@pytest.mark.parametrize("is_awaiting", [False, True])
def test_events_outlive_a_connection(
    live_server: str, token: str, session: Session, monkeypatch: pytest.MonkeyPatch, *, is_awaiting: bool
) -> None:
    """Whatever came while nobody was connected is there after it, once, and the end of the run ends them."""
    monkeypatch.setattr(event_streams, "LIFE_SECONDS", 0.05)
    monkeypatch.setattr(event_streams, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(client_module, "COME_BACK_SECONDS", 0.01)
    run = make_run(session, state=RunState.RUNNING)
    make_metrics(session, run, iterations=range(1, 4))
    seen: list[int] = []

    def see(event: Any) -> None:
        if event["kind"] == "metric":
            seen.append(event["iteration"])
        if seen == [1, 2, 3]:
            make_metrics(session, run, iterations=range(4, 6))
            run.state, run.ended_at = RunState.FINISHED, utc_now()
            session.add(run)
            session.commit()

    async def follow(temper: AsyncTemperClient) -> None:
        async for event in temper.handle(run.id or 0).events():
            see(event)

    if is_awaiting:
        awaited(live_server, token, follow)
    else:
        with TemperClient(live_server, token) as temper:
            for event in temper.handle(run.id or 0).events():
                see(event)

    assert seen == [1, 2, 3, 4, 5]


def test_events_of_nothing_are_refused(live_server: str, token: str) -> None:
    """A run that is not there is an error, and not an endless wait."""
    with TemperClient(live_server, token) as temper, pytest.raises(TemperError) as refused:
        list(temper.events(99))

    assert refused.value.status == 404


# ── Steps, which send nothing ──────────────────────────────────────────────


class Reply:
    """An answer of a server that is not there."""

    def __init__(self, status: int, body: Any, after: str = "") -> None:
        """Make it up."""
        self.status_code, self.is_success, self.text = status, status < 400, ""
        self.headers = {"Retry-After": after} if after else {}
        self._body = body

    def json(self) -> Any:
        """Return the body."""
        return self._body


def problem(status: int, kind: str, after: str = "") -> Reply:
    return Reply(status, {"error": {"kind": kind, "message": "No.", "fields": []}}, after)


def test_who_is_told_to_come_back_does() -> None:
    """After as long as it was told, and with the same request; without a time it is refused at once."""
    steps = send(Request("GET", "/x"))
    first = next(steps)
    pause = steps.send(problem(503, "unavailable", "2"))
    again = steps.send(None)

    assert (pause.seconds, again) == (2, first)
    with pytest.raises(TemperError):
        steps.send(problem(503, "unavailable"))


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute for a server that has too much to do, half an hour for one that counts."""
    now = time.monotonic()
    for kind, later, is_patient in (("too_many", 29, False), ("counting", 29, True), ("counting", 1_799, False)):
        steps = send(Request("GET", "/x"))
        next(steps)
        monkeypatch.setattr(time, "monotonic", lambda later=later: now + later + 1)
        if is_patient:
            steps.send(problem(503, kind, "2"))
        else:
            with pytest.raises(TemperError):
                steps.send(problem(503, kind, "2"))
        monkeypatch.undo()


def test_all_of_a_list_is_asked_page_by_page() -> None:
    """Each with the cursor of the one before, until there is none."""
    steps = ask_all("/runs", "runs", q="a")
    asked = [next(steps)]
    asked.append(steps.send(Reply(200, {"runs": [1, 2], "next_cursor": "c"})))
    with pytest.raises(StopIteration) as end:
        steps.send(Reply(200, {"runs": [3], "next_cursor": None}))

    assert end.value.value == [1, 2, 3]
    assert [each.params["cursor"] for each in asked] == ["", "c"]


def test_an_event_is_put_together_out_of_its_lines() -> None:
    """Comments are passed over, and data may come in several lines."""
    reader = EventReader(7)
    lines = [": hello", "id: 3", "event: state", 'data: {"id": 3,', 'data:"kind": "state"}', "", "", "data: {}"]

    events = [event for line in lines if (event := reader.take(line))]

    assert events == [{"id": 3, "kind": "state"}]
    assert reader.request().headers["Last-Event-ID"] == "3"
