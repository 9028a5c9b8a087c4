"""Requests that wait outside, holding nothing."""

import asyncio
from typing import Any

from app.web import slots
from tests.conftest import run_apart

BEGUN = {"type": "http.response.start", "status": 200, "headers": []}


class Work:
    """An application that counts who is inside, and lets them go when it is told."""

    def __init__(self, *, answers_first: bool = False) -> None:
        """Begin with nobody."""
        self.inside, self.most, self.may_go = 0, 0, asyncio.Event()
        self.answers_first = answers_first

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        """Do some work."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.answers_first:
            await send(BEGUN)
        await self.may_go.wait()
        self.inside -= 1


def work_of(*, method: str, answers_first: bool) -> tuple[int, int]:
    """Send twice as many requests as there are slots; return how many were inside at once, and in the end."""

    async def send_all() -> tuple[int, int]:
        work = Work(answers_first=answers_first)
        app = slots.Slots(work)

        async def send(_: Any) -> None:
            """Throw it away."""

        count = 2 * slots.MOST_AT_ONCE
        tasks = [asyncio.create_task(app({"type": "http", "method": method}, None, send)) for _ in range(count)]  # type: ignore[arg-type]
        for _ in range(5):
            await asyncio.sleep(0)
        inside = work.inside
        work.may_go.set()
        await asyncio.gather(*tasks)
        return inside, work.inside

    return run_apart(send_all())


def test_so_many_are_inside_and_no_more() -> None:
    """The others wait, and come in as places become free."""
    assert work_of(method="GET", answers_first=False) == (slots.MOST_AT_ONCE, 0)


def test_who_is_being_answered_takes_no_place() -> None:
    """Slow readers and streams keep nobody out."""
    assert work_of(method="GET", answers_first=True) == (2 * slots.MOST_AT_ONCE, 0)


def test_who_sends_slowly_takes_no_place() -> None:
    """A body that comes for hours keeps nobody out."""
    assert work_of(method="POST", answers_first=False) == (2 * slots.MOST_AT_ONCE, 0)
