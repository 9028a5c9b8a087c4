"""A run's curves: what is drawn follows from metrics and verdicts alone, and stands without a script."""

import re
from itertools import pairwise
from typing import Any

from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session, select

from app.domain.advice import advise
from app.domain.models import Checkpoint, Run, RunState
from app.domain.runs import id_of, recipe_of
from app.domain.trainer_events import MetricMeasured
from app.domain.verdicts import judge_checkpoints
from app.web.curves import Curves, axis_ticks, ceiling, dots, draw_curves, path, smoothed, thinned
from app.web.render import environment
from tests.factories import make_metrics
from tests.stories import make_story

LOSSES = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=40)


def metric(iteration: int, loss: float | None) -> MetricMeasured:
    """Return what was measured at an iteration."""
    return MetricMeasured(time=0, iteration=iteration, loss=loss, learning_rate=5e-4, seconds=1, memory_bytes=1)


def curves_of(session: Session, run: Run, **values: Any) -> Curves:
    """Lay out a run's curves."""
    rows = session.exec(select(Checkpoint).where(Checkpoint.run_id == run.id).order_by("iteration")).all()
    judged = judge_checkpoints(recipe_of(run), run.probes, rows)
    return draw_curves(judged, rows, iterations=run.iterations, advice=advise(judged), **values)


def drawn(text: str) -> list[tuple[float, float]]:
    """Return the points of path data."""
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.e+]+) ([-\d.]+)", text)]


def line_of(curves: Curves, kind: str) -> list[tuple[float, float]]:
    """Return the points of a line of one of the panels; none where it is not drawn."""
    lines = [*curves.loss.lines, *curves.behaviour.lines]
    return next((drawn(line.path) for line in lines if line.kind == kind), [])


def test_identity_is_drawn_as_it_is_said(session: Session) -> None:
    """Two probes near the identity and no hit are 0 of 2, and 0 is what is drawn; nearness is a line of its own."""
    run = make_story(session)

    curves = curves_of(session, run)

    said = {each.iteration: (each.hits, each.identity_total) for each in curves.readings}
    assert (said[10], said[15]) == ((0, 2), (2, 2))
    assert dict(line_of(curves, "series-good")) == {at: 100 - 100 * hits / all_ for at, (hits, all_) in said.items()}
    assert dict(line_of(curves, "series-similarity"))[10] < 100
    assert dict(line_of(curves, "dots-leak"))[15] == 100


def test_marks_stand_at_what_is_kept_and_at_the_first_leak(session: Session) -> None:
    """In percent of the whole run, so that both panels agree on the place."""
    run = make_story(session)
    advice = advise(judge_checkpoints(recipe_of(run), run.probes, run.checkpoints))

    curves = curves_of(session, run)

    assert {mark.kind: (mark.iteration, mark.percent) for mark in curves.marks} == {
        "keep": (advice.iteration, 2 * (advice.iteration or 0)),
        "first-leak": (advice.first_leak, 2 * (advice.first_leak or 0)),
    }


def test_held_out_pairs_share_the_axis_of_the_loss(session: Session) -> None:
    """They are drawn only where they were measured, and raise the axis where they are higher."""
    run = make_story(session)
    without = curves_of(session, run, metrics=[metric(1, 2.0), metric(2, 1.0)])
    for checkpoint in run.checkpoints[:2]:
        checkpoint.general_nll = 3.2
        session.add(checkpoint)

    curves = curves_of(session, run, metrics=[metric(1, 2.0), metric(2, 1.0)])

    assert (without.has_nll, curves.has_nll) == (False, True)
    assert line_of(curves, "series-nll-general") == [(0, 0), (5, 0)]
    assert line_of(curves, "series-nll-identity") == []
    assert (without.loss.labels[0], curves.loss.labels[0]) == ("2", "3.2")


def test_a_picture_needs_no_script(session: Session) -> None:
    """Both panels have their lines, and the words say the newest values."""
    run = make_story(session)
    curves = curves_of(session, run, metrics=[metric(at, 3 / at) for at in range(1, 51)])

    macro = environment().get_template("macros/charts.html").module.curves  # type: ignore[attr-defined]
    page = BeautifulSoup(macro(curves, "Curves"), "html.parser")

    assert {"series", "series-raw", "series-lr", "series-good", "series-leak"} <= {
        name for found in page.select("path") for name in found["class"]
    }
    assert page.select_one("[data-reads=loss]").get_text() == "0.060"
    assert page.select_one("[data-reads=identity]").get_text() == "2/2"
    assert page.select_one("#curve-cursor") is None


def test_the_page_carries_what_the_script_reads(client: Any, session: Session) -> None:
    """Each checkpoint's values are in the page, so that a new one comes with the page's own renewal."""
    run = make_story(session, state=RunState.RUNNING)
    make_metrics(session, run)

    page = BeautifulSoup(client.get(f"/runs/{id_of(run)}").text, "html.parser")

    figure = page.select_one("#curves")
    assert "[15, 7, 2, 2, 0, " in figure["data-readings"]
    assert figure["data-end"] == "50"
    assert page.select_one("#loss-chart").has_attr("hx-morph-skip")
    assert len(page.select("#behaviour-chart .series-good")) == 1


@given(LOSSES)
def test_no_value_is_above_its_panel(losses: list[float]) -> None:
    """The upper edge is a round number no lower than the highest, and not far above it."""
    top = ceiling(losses)

    assert max(losses) <= top <= 2 * max(losses)
    assert all(-1e-6 <= y <= 100 for _, y in drawn(path(list(enumerate(losses)), top=top)))


@given(st.lists(st.none() | st.floats(0, 10), max_size=30))
def test_a_line_breaks_off_where_nothing_was_measured(values: list[float | None]) -> None:
    """It begins anew after each gap, and has a point for each value."""
    points = list(enumerate(values))
    begins = sum(y is not None and (at == 0 or values[at - 1] is None) for at, y in points)

    assert path(points, top=10).count("M") == begins
    assert dots(points, top=10).count("M") == len(drawn(path(points, top=10))) == sum(y is not None for y in values)
    assert [y is None for _, y in smoothed(points)] == [y is None for y in values]


@given(st.integers(1, 2_000_000))
def test_the_axis_is_told_in_round_steps(end: int) -> None:
    """From 0 to the last iteration, neither crowded nor bare."""
    ticks = axis_ticks(end)

    assert (ticks[0], ticks[-1]) == (0, end)
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= 10
    assert end < 4 or len(ticks) >= 4
    assert len({later - earlier for earlier, later in pairwise(ticks[:-1])}) <= 1


def test_a_long_line_is_thinned_and_keeps_its_last_point() -> None:
    """No more than about the asked number of points are left, the newest always."""
    points = list(range(1, 10_000))

    thin = thinned(points, 100)

    assert len(thin) <= 101
    assert (thin[0], thin[-1]) == (points[0], points[-1])
