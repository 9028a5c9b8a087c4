"""Rendering, formats, errors and assets: what every page leans on."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from jinja2 import UndefinedError
from redis import Redis
from sqlmodel import Session

from app.domain.columns import utc_now
from app.domain.models import ArtifactState, Asking, RunState
from app.domain.presence import WorkerPresence, announce_worker
from app.web import formats, workers
from app.web.render import environment, render_text
from tests.factories import make_run

NOW = utc_now()


@dataclass(frozen=True)
class Nothing:
    """A context without variables."""


def test_a_missing_name_fails_at_once() -> None:
    """A template that uses a variable its page does not give is an error, not an empty place."""
    request = Request({"type": "http", "path": "/", "headers": [], "query_string": b"", "state": {}})

    with pytest.raises(UndefinedError):
        render_text(request, "runs/_count.html", Nothing())


def test_text_is_escaped() -> None:
    """Values are text wherever they stand."""
    assert environment().from_string("{{ x }}").render(x="<b>") == "&lt;b&gt;"
    assert environment().from_string('{{ _("%(x)s", x=x) }}').render(x="<b>") == "&lt;b&gt;"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, "–"), (float("nan"), "–"), (0, "0:00"), (55.4, "0:55"), (723, "12:03"), (3723, "1:02:03")],
)
def test_durations(seconds: float | None, expected: str) -> None:
    """Minutes and seconds, with hours where there are some."""
    assert formats.duration(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (3_700_000, "3.7 MB"),
        (269_060_552, "269 MB"),
        (999_999_999, "1.0 GB"),
    ],
)
def test_sizes(count: int | None, expected: str) -> None:
    """Sizes never show four digits before the unit."""
    assert formats.size(count) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(2e-4, "2e-4"), (1.5e-5, "1.5e-5"), (0.1, "0.1"), (0.01, "0.01"), (0.001, "1e-3"), (0, "0")]
)
def test_learning_rates(value: float, expected: str) -> None:
    """Learning rates are written as people type them."""
    assert formats.scientific(value) == expected


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(seconds=3), "3 s ago"),
        (timedelta(minutes=3), "3 min ago"),
        (timedelta(hours=5), "5 h ago"),
        (timedelta(days=1), "1 day ago"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(days=-1), "0 s ago"),
    ],
)
def test_times_are_told_by_their_distance(age: timedelta, expected: str) -> None:
    """The newer, the finer; a clock that runs ahead is now."""
    assert formats.ago(utc_now() - age) == expected


def test_what_is_written_down_to_the_hour_is_told_to_the_hour() -> None:
    """Minutes would be false precision."""
    told = [formats.hours_ago(utc_now() - timedelta(minutes=age)) for age in (0, 59, 61)]

    assert told == ["in the last hour", "in the last hour", "1 h ago"]
    assert formats.hours_ago(None) == formats.NONE


def test_what_is_not_there_is_not_to_be_tried_again(client: TestClient) -> None:
    """It would be as little there the next time."""
    assert "Try again" not in client.get("/runs/999").text


def test_heat_runs_along_the_ramp() -> None:
    """The base model is cold; the last checkpoint is at the end of the ramp, and no step is skipped."""
    heats = [formats.heat(iteration, 50) for iteration in range(0, 51, 5)]

    assert heats == [None, 0, 1, 1, 2, 2, 3, 4, 4, 5, 5]
    assert formats.heat(60, 50) == 5
    assert formats.heat(5, 0) == 5


def test_static_files_with_a_hash_are_kept_for_good(client: TestClient) -> None:
    """An address with a content hash is immutable; one without is asked for again."""
    page = client.get("/runs").text
    address = page.split('<link rel="stylesheet" href="')[1].split('"')[0]

    assert "immutable" in client.get(address).headers["cache-control"]
    assert client.get("/static/app.css").headers["cache-control"] == "no-cache"


def test_local_assets_never_name_the_cdn(client: TestClient) -> None:
    """With `TEMPER_ASSETS=local` no page tells a browser to ask another server."""
    reply = client.get("/runs")

    assert 'data-source="local"' in reply.text
    assert "jsdelivr" not in reply.headers["content-security-policy"]


def test_a_page_that_does_not_exist_is_designed(client: TestClient) -> None:
    """404 is a page of ours; for htmx it is a toast; both with the true status."""
    page = client.get("/nowhere")
    toast = client.get("/nowhere", headers={"HX-Request": "true", "HX-Request-Type": "partial"})

    assert (page.status_code, toast.status_code) == (404, 404)
    assert "There is nothing here" in page.text
    assert toast.text.startswith("<hx-partial")


def test_an_address_that_names_nothing_is_404(client: TestClient) -> None:
    """An id that is no number is told of as an unknown one."""
    reply = client.get("/runs/abc")

    assert reply.status_code == 404
    assert "There is nothing here" in reply.text


def test_a_mistake_of_ours_is_a_page_without_a_traceback(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected is a designed 500: it says that runs go on, and nothing of the code."""

    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("app.web.runs.build_runs_page", fail)
    with TestClient(client.app, base_url="http://127.0.0.1", raise_server_exceptions=False) as browser:
        browser.cookies = client.cookies
        reply = browser.get("/runs")

    assert reply.status_code == 500
    assert "Temper made a mistake" in reply.text
    assert "secret detail" not in reply.text
    assert "Traceback" not in reply.text


def test_the_top_bar_tells_who_works(client: TestClient, session: Session) -> None:
    """The line counts workers, names their devices and counts the runs in progress and those being asked."""
    announce_worker(WorkerPresence("one", "CPU", 1, utc_now().timestamp()))
    announce_worker(WorkerPresence("gone", "H100", 1, utc_now().timestamp() - 60))
    make_run(session, state=RunState.RUNNING)
    asked = make_run(session, state=RunState.FINISHED)
    session.add(Asking(run_id=asked.id or 0, state=ArtifactState.RUNNING))
    session.commit()
    workers.forget()

    line = client.get("/workers").text
    workers.forget()

    assert "1 worker, CPU, 1 run in progress, 1 run being asked" in line
    assert line.startswith("<span")


def test_without_redis_the_top_bar_says_that_nobody_works(client: TestClient, redis_server: Redis, home: Path) -> None:
    """A Redis that does not answer costs the line and nothing else."""
    (home / "redis.sock").unlink()
    workers.forget()

    reply = client.get("/runs")
    workers.forget()

    assert reply.status_code == 200
    assert "no worker: runs wait" in reply.text


def test_what_a_page_changes_is_committed_before_the_answer(client: TestClient, session: Session) -> None:
    """Whoever follows the redirect sees the change, and its message is sent only then."""
    run = make_run(session)

    client.post(f"/runs/{run.id}/stop")

    assert "cancelled" in client.get(f"/runs/{run.id}").text
