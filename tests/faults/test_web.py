"""F18, F19: what may happen to the web server, and to those who look at it; F30 is in `tests/test_upgrades.py`."""

import asyncio
import json
import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

import httpx2 as httpx
import pytest
from sqlalchemy import func
from sqlmodel import Session, col, select

from app.domain.models import Run
from tests.conftest import COOKIE, log_in, wait_until
from tests.faults.measuring import Fault
from tests.faults.site import ITERATIONS, Site, check_whole, recipe, wait_for_iteration

READERS = 100
COME_AGAIN_SECONDS = 0.2  # a browser waits longer


def test_f18_killed_while_a_run_is_launched(site: Site, session: Session, fault: Fault, moment: random.Random) -> None:
    """The run is there once or not at all, and the same request again makes it once."""
    key = f"launch {moment.random()}"
    before = session.exec(select(func.max(Run.id))).one() or 0
    asking = threading.Thread(target=launch, args=(site, key))
    asking.start()
    time.sleep(moment.uniform(0, 0.05))
    assert site.web is not None

    fault.strike(session)
    site.web.kill()
    site.start_web()
    asking.join()
    wait_until(lambda: launch(site, key) == 201, "the launch does not go through", seconds=30)
    fault.over()

    assert launch(site, key) == 201
    (run_id,) = session.exec(select(Run.id).where(col(Run.id) > before)).all()
    check_whole(session, site, run_id or 0)
    fault.count(session, site, run_id or 0)


def launch(site: Site, key: str) -> int | None:
    """Launch a run under a key; None when nobody answers."""
    try:
        return site.ask("POST", "/runs", json=recipe("brisk"), headers={"Idempotency-Key": key}).status_code
    except httpx.HTTPError:
        return None


@dataclass
class Reader:
    """A page that watches a run and comes back when its connection breaks."""

    host: str
    port: int
    path: str
    cookie: str
    last: str = "0"
    points: list[int] = field(default_factory=list)
    is_over: bool = False
    connections: int = 0

    async def read(self) -> None:
        """Read until the run has ended, whatever happens to the server."""
        while not self.is_over:
            with suppress(OSError):
                await self._read_once()
            await asyncio.sleep(COME_AGAIN_SECONDS)

    async def _read_once(self) -> None:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        words = [f"GET {self.path} HTTP/1.1", f"Host: {self.host}:{self.port}", f"Cookie: {self.cookie}"]
        writer.write("\r\n".join([*words, f"Last-Event-ID: {self.last}", "", ""]).encode())
        self.connections += b" 200 " in await reader.readline()
        message: dict[str, str] = {}
        async for line in reader:
            name, colon, value = line.decode().strip().partition(": ")
            if colon:
                message[name] = value
            elif "id" in message:
                self._hear(message)
                message = {}
            if self.is_over:
                break
        writer.close()

    def _hear(self, message: dict[str, str]) -> None:
        self.last, self.is_over = message["id"], message["event"] == "end"
        if message["event"] == "metric":
            self.points.append(json.loads(message["data"])[0])


@pytest.mark.long
def test_f19_a_hundred_readers(site: Site, session: Session, fault: Fault) -> None:
    """Across a restart of the web server each of them gets every point of the curve, once and in order."""
    run_id = site.start_run("slow")
    wait_for_iteration(session, run_id, 3)
    host, port = site.url.removeprefix("http://").split(":")
    cookie = f"{COOKIE}_{port}={log_in(session)}"
    readers = [Reader(host, int(port), f"/runs/{run_id}/events", cookie) for _ in range(READERS)]

    watching = threading.Thread(target=lambda: asyncio.run(watch(readers)))
    watching.start()
    wait_until(lambda: all(reader.points for reader in readers), "they do not watch", seconds=30)
    fault.strike(session)
    assert site.web is not None
    site.web.kill()
    site.start_web()
    wait_until(lambda: all(reader.connections > 1 for reader in readers), "they do not come back", seconds=30)
    fault.over()
    watching.join(60)

    assert {tuple(reader.points) for reader in readers} == {tuple(range(1, ITERATIONS + 1))}
    check_whole(session, site, run_id)
    fault.count(session, site, run_id)


async def watch(readers: list[Reader]) -> None:
    """Let all of them read at once."""
    await asyncio.gather(*(reader.read() for reader in readers))
