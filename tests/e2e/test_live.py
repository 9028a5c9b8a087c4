"""A run's page in a real browser while the run goes on underneath."""

import json
import threading
import time

import pytest
from playwright.sync_api import Page, Route
from sqlmodel import Session

from app.domain.attempts import Ending, end_attempt
from app.domain.events import ingest, parse
from app.domain.models import Run, RunState
from app.domain.presence import wake_watchers
from app.domain.runs import get_run, id_of
from tests.conftest import wait_until
from tests.factories import attempt_of, make_answers, make_checkpoint, make_metrics, make_run

ITERATIONS = 20


class Trainer:
    """Writes a run's events from outside the server, as a worker does."""

    def __init__(self, session: Session, run: Run) -> None:
        self.bind, self.run_id = session.get_bind(), id_of(run)

    def tell(self, *events: dict) -> None:
        """Store events in one unit of work and wake the pages."""
        with Session(self.bind) as session:
            run = get_run(session, self.run_id)
            lines = b"".join(json.dumps({"time": time.time()} | event).encode() + b"\n" for event in events)
            ingest(session, run, attempt_of(session, run), parse(lines), size=len(lines))
            session.commit()
        wake_watchers(self.run_id)

    def train(self, *iterations: int) -> None:
        """Tell of iterations."""
        self.tell(*(metric(iteration) for iteration in iterations))

    def finish(self) -> None:
        """End the run."""
        with Session(self.bind) as session:
            end_attempt(session, self.run_id, attempt=1, ending=Ending(RunState.FINISHED))
            session.commit()
        wake_watchers(self.run_id)


def metric(iteration: int) -> dict:
    """Return one iteration's event."""
    measured = {"loss": 3 / iteration, "learning_rate": 5e-4, "seconds": 0.1, "memory_bytes": 1}
    return {"kind": "metric", "iteration": iteration} | measured


def drawn(page: Page) -> list[float]:
    """Return the iterations of the curve as they are drawn, in order, doubles included."""
    path = page.locator("#loss-chart .series-raw").get_attribute("d") or ""
    return [float(step[1:]) for step in path.split()[::2]]


def points(page: Page) -> int:
    """Return how many points the curve has."""
    return int(page.locator("#loss-chart").get_attribute("data-points") or 0)


def watch(page: Page) -> dict[float, list[int]]:
    """Return the ids of the iterations' events that come in, for each time that a page is loaded."""
    received: dict[float, list[int]] = {}
    page.expose_function("received", lambda load, event: received.setdefault(load, []).append(int(event)))
    page.add_init_script(
        'addEventListener("metric", ({detail}) => received(performance.timeOrigin, detail.id), {capture: true})'
    )
    return received


@pytest.fixture
def run(session: Session) -> Run:
    """Store a run that is being trained, three iterations in."""
    run = make_run(session, state=RunState.RUNNING, iterations=ITERATIONS, iteration=3, phase="training")
    make_metrics(session, run, iterations=range(1, 4))
    return run


def test_the_curve_grows_while_the_page_is_open(page: Page, session: Session, run: Run) -> None:
    """Points that a worker stores are drawn without a reload, and the figures follow."""
    trainer = Trainer(session, run)
    page.goto(f"/runs/{run.id}")
    wait_until(lambda: points(page) == 3, "the history was not drawn")

    trainer.train(4, 5)
    trainer.train(6)

    wait_until(lambda: points(page) == 6, "new points were not drawn")
    assert drawn(page) == [1, 2, 3, 4, 5, 6]
    page.locator("#run-progress .figures dd", has_text="6 of 20").first.wait_for()


def test_a_reload_during_a_live_curve_has_no_gap_and_no_double_point(page: Page, session: Session, run: Run) -> None:
    """Whoever reloads in the middle sees every iteration exactly once."""
    trainer = Trainer(session, run)

    def train_on() -> None:
        for iteration in range(4, ITERATIONS + 1):
            trainer.train(iteration)
            time.sleep(0.12)

    received = watch(page)
    page.goto(f"/runs/{run.id}")
    worker = threading.Thread(target=train_on)
    worker.start()
    for _ in range(3):
        page.wait_for_timeout(450)
        page.reload()
    worker.join()

    wait_until(lambda: points(page) == ITERATIONS, "the curve is not whole")
    assert drawn(page) == list(range(1, ITERATIONS + 1))
    assert len(received) > 1, "no page but one was sent anything"
    for ids in received.values():  # the chart would draw a point that comes twice once
        assert ids == sorted(set(ids))


def test_a_tab_that_was_offline_catches_up(page: Page, session: Session, run: Run) -> None:
    """What is stored while the connection is broken is drawn when it is back, each point once."""
    trainer, received = Trainer(session, run), watch(page)
    page.goto(f"/runs/{run.id}")
    trainer.train(4)
    wait_until(lambda: points(page) == 4, "the first live point was not drawn")

    page.evaluate("document.getElementById('run-events')._htmx.sse.reader.cancel()")
    trainer.train(5, 6, 7)

    wait_until(lambda: points(page) == 7, "the missed points did not come")
    assert drawn(page) == [1, 2, 3, 4, 5, 6, 7]
    (ids,) = received.values()
    assert len(ids) == len(set(ids)) == 4


def test_answers_of_a_checkpoint_arrive_together(page: Page, session: Session, run: Run) -> None:
    """A checkpoint's answers and its line in the table appear by themselves; open things stay open."""
    trainer = Trainer(session, run)
    make_answers(session, make_checkpoint(session, run, iteration=0), ["I am a model.", "No.", "Paris."])
    page.goto(f"/runs/{run.id}")
    wait_until(lambda: points(page) == 3, "the history was not drawn")
    page.get_by_role("button", name="Stop").click()

    trainer.tell(
        {"kind": "checkpoint", "iteration": 5, "updates": 5, "file": "iter_5.pth", "adapter": "a", "size_bytes": 9},
        {
            "kind": "answers",
            "iteration": 5,
            "seconds": 1.0,
            "dtype": "float32",
            "quantised": False,
            "answers": [
                {"probe": probe, "text": text, "tokens": 4, "ended": "stop"}
                for probe, text in enumerate(["<b>I am</b> Ada's little assistant.", "No.", "Paris"])
            ],
        },
    )

    page.get_by_text("<b>I am</b> Ada's little assistant.").wait_for()
    assert page.locator("#run-checkpoints tbody tr").count() == 2
    assert page.locator("#run-stop").evaluate("dialog => dialog.open")
    assert drawn(page) == [1, 2, 3]


def test_the_end_of_a_run_closes_its_stream(page: Page, session: Session, run: Run) -> None:
    """A run that ends shows it without a reload, and nothing goes on asking."""
    trainer = Trainer(session, run)
    page.goto(f"/runs/{run.id}")
    wait_until(lambda: points(page) == 3, "the history was not drawn")

    trainer.finish()

    page.locator("#run-head .state[data-state=finished]").wait_for()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2_500)
    assert [url for url in asked if "/runs/" in url] == []


def test_stop_in_the_dialog_asks_the_run_to_stop(page: Page, session: Session, run: Run) -> None:
    """Stop opens a dialog; its button stops the run and the page says so without a reload."""
    page.goto(f"/runs/{run.id}")
    wait_until(lambda: points(page) == 3, "the history was not drawn")
    page.get_by_role("button", name="Stop").click()

    page.get_by_role("button", name="Stop now").click()

    page.locator("#run-head").get_by_text("stopping").wait_for()
    session.refresh(run)
    assert run.stop_requested_at is not None
    assert not page.locator("#run-stop").evaluate("dialog => dialog.open")


def test_a_refusal_is_a_toast_and_leaves_the_page(page: Page, session: Session, run: Run) -> None:
    """An action that no longer fits shows its sentence in a toast, and the page stays as it was."""
    page.goto(f"/runs/{run.id}")
    wait_until(lambda: points(page) == 3, "the history was not drawn")
    page.get_by_role("button", name="Stop").click()
    page.evaluate("htmx.trigger(document.getElementById('run-events'), 'x')")
    with Session(session.get_bind()) as other:
        end_attempt(other, id_of(run), attempt=1, ending=Ending(RunState.FINISHED))
        other.commit()

    page.get_by_role("button", name="Stop now").click()

    page.locator("#toasts .toast").get_by_text("has already ended").wait_for()
    assert page.locator("h1").inner_text() == run.name


def test_selected_runs_stay_selected_while_the_list_refreshes(page: Page, session: Session, run: Run) -> None:
    """The list renews itself while something runs; boxes that are ticked stay so, and lead to Compare."""
    make_run(session, state=RunState.FINISHED, name="Second")
    trainer = Trainer(session, run)
    page.goto("/runs")
    for box in page.get_by_role("checkbox").all():
        box.check()

    trainer.train(4)

    page.get_by_text("4 of 20").wait_for()
    assert page.locator("input[name=runs]:checked").count() == 2
    assert page.get_by_role("button", name="Compare 2").is_enabled()


def test_the_list_is_searched_while_one_types(page: Page, session: Session, run: Run) -> None:
    """Typing narrows the list without a reload and keeps the cursor where it is."""
    make_run(session, state=RunState.FINISHED, name="Needle")
    page.goto("/runs")

    page.get_by_role("searchbox").press_sequentially("needl")

    page.wait_for_url("**/runs?q=needl")
    wait_until(lambda: page.locator("#run-table tbody tr").count() == 1, "the list was not narrowed")
    assert page.evaluate("document.activeElement.name") == "q"
    assert page.locator("#run-count").inner_text().startswith("1 of 2 runs found.")


def test_a_cdn_that_does_not_answer_costs_nothing_but_a_moment(
    page: Page, session: Session, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the CDN is out of reach the vendored htmx takes over at once, and the next page does not ask again."""
    from app.config import settings

    monkeypatch.setenv("TEMPER_ASSETS", "cdn")
    settings.cache_clear()
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    page.route("https://cdn.jsdelivr.net/**", refuse)

    page.goto(f"/runs/{run.id}")

    page.locator("html[data-assets=local]").wait_for()
    assert page.evaluate("htmx.version") == "4.0.1"
    Trainer(session, run).train(4)
    wait_until(lambda: points(page) == 4, "the page is not live")
    assert len(asked) == 2
    page.goto("/runs")
    page.locator("html[data-assets=local]").wait_for()
    assert len(asked) == 2


def test_the_cdns_bytes_are_checked_before_they_run(page: Page, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CDN that serves other bytes than the integrity hash names is as good as absent."""
    from app.config import settings

    monkeypatch.setenv("TEMPER_ASSETS", "cdn")
    settings.cache_clear()
    headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "text/javascript"}
    page.route("https://cdn.jsdelivr.net/**", lambda route: route.fulfill(body="window.evil = 1", headers=headers))

    page.goto(f"/runs/{run.id}")

    page.locator("html[data-assets=local]").wait_for()
    assert page.evaluate("window.evil") is None
    assert page.evaluate("htmx.version") == "4.0.1"


def test_the_cdn_is_used_where_it_answers(page: Page, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the right bytes from the CDN, this server's copy is not asked for."""
    from app.config import settings
    from app.web.assets import STATIC_FOLDER

    monkeypatch.setenv("TEMPER_ASSETS", "cdn")
    settings.cache_clear()
    headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "text/javascript"}

    def serve(route: Route) -> None:
        file = STATIC_FOLDER / "vendor" / route.request.url.rpartition("/")[2]
        route.fulfill(body=file.read_text("utf-8"), headers=headers)

    page.route("https://cdn.jsdelivr.net/**", serve)

    page.goto(f"/runs/{run.id}")

    page.locator("html[data-assets=cdn]").wait_for()
    wait_until(lambda: page.evaluate("!!document.getElementById('run-events')._htmx?.sse"), "the stream did not open")
