"""What the page of one run shows of a run of any length."""

from datetime import timedelta
from typing import Any

import pytest
from bs4 import BeautifulSoup
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.domain.columns import utc_now
from app.domain.models import RunState
from app.domain.runs import id_of
from app.web.run_page import MOST_STRIP_BLOCKS, build_run_view
from tests.factories import make_checkpoint, make_recipe, make_run


def test_a_long_run_shows_the_blocks_around_the_present(session: Session) -> None:
    """The base model, what was saved last and what comes next; building them does not count through the plan."""
    recipe = make_recipe(training={"iterations": 1_000_000}, checkpoints={"every": 1})
    run = make_run(session, recipe=recipe, state=RunState.RUNNING, iterations=1_000_000, iteration=500)
    run.seconds_per_iteration = 1.0
    for iteration in range(0, 501, 50):
        make_checkpoint(session, run, iteration=iteration)
    began = utc_now()

    strip = build_run_view(session, id_of(run)).strip

    assert utc_now() - began < timedelta(seconds=2)
    assert [strip[0].iteration, strip[1].iteration, strip[-1].iteration] == [0, 401, 600]
    assert len(strip) == 1 + MOST_STRIP_BLOCKS
    assert [block.iteration for block in strip if block.checkpoint] == [0, 450, 500]


def test_a_run_at_its_end_shows_its_last_checkpoints(session: Session) -> None:
    """The newest is there, and as many before it as fit."""
    recipe = make_recipe(training={"iterations": 1_001}, checkpoints={"every": 2})
    run = make_run(session, recipe=recipe, state=RunState.FINISHED, iterations=1_001, iteration=1_001)
    make_checkpoint(session, run, iteration=1_001)

    strip = build_run_view(session, id_of(run)).strip

    assert [block.iteration for block in strip[-3:]] == [998, 1_000, 1_001]
    assert strip[-1].checkpoint is not None
    assert len(strip) == 1 + MOST_STRIP_BLOCKS


def test_a_short_run_shows_them_all(session: Session) -> None:
    """Saved and planned side by side, from the base model to the end."""
    run = make_run(session, state=RunState.RUNNING, iterations=20, iteration=7)

    strip = build_run_view(session, id_of(run)).strip

    assert [block.iteration for block in strip] == [0, 5, 10, 15, 20]


@pytest.mark.parametrize(
    ("iteration", "fields", "is_in_passing"),
    [(8, {}, True), (10, {}, False), (20, {}, False), (8, {"texts": ["A model.", "No.", "Paris."]}, False)],
)
def test_what_was_saved_in_passing_says_so(
    client: TestClient, session: Session, *, iteration: int, fields: dict[str, Any], is_in_passing: bool
) -> None:
    """Off the cadence and never asked: that no verdict stands there is as it should be, and no wait for one."""
    run = make_run(session, state=RunState.QUEUED, iterations=20, iteration=iteration, attempt=1)
    make_checkpoint(session, run, iteration=iteration, **fields)

    page = BeautifulSoup(client.get(f"/runs/{run.id}").text, "html.parser")

    said = [each.get_text() for each in page.select("#run-checkpoints tbody .small, .strip small")]
    assert said.count("to go on from") == (2 if is_in_passing else 0)
