"""Everybody who watches one run: woken by its channel or by the clock, a few at a time."""

import asyncio

import pytest

from app.web import run_watch
from app.web.run_watch import RunWatch
from tests.conftest import run_apart


def test_watchers_are_woken_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two of these whatever else the server has to do is done; none of them is forgotten."""
    monkeypatch.setattr(run_watch, "WOKEN_AT_ONCE", 2)
    monkeypatch.setattr(run_watch, "WOKEN_EVERY", 0.2)
    woken: list[int] = []

    async def wait(watch: RunWatch[int], number: int) -> None:
        await watch.wait(0, 60)
        woken.append(number)

    async def turn() -> list[int]:
        watch = RunWatch[int](1, look=lambda _run_id, after: after, every=60)
        waiting = asyncio.gather(*(wait(watch, number) for number in range(5)))
        await asyncio.sleep(0.05)
        turning = asyncio.ensure_future(watch.end_turn())
        await asyncio.sleep(0.05)
        first = list(woken)
        await asyncio.gather(turning, waiting)
        return first

    assert run_apart(turn()) == [0, 1]
    assert woken == [0, 1, 2, 3, 4]
