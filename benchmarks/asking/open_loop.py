"""
Ask a server at a steady rate, whatever its answers take: `python -m benchmarks.asking.open_loop < PLAN`.

A process of its own, and little else than sockets, so that it takes hardly anything of the cores that it
measures. A request that finds no free connection opens one; its time counts from when it was due, so that
a server that stalls is charged for everybody who would have waited.

The plan, and the answer on standard output, are JSON.
"""

import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any

CHUNK = 1 << 16
GIVE_UP_SECONDS = 20.0
IDLE_SECONDS = 3.0  # the server closes what is idle for 5, perhaps while the next request is on its way


@dataclass
class Connection:
    """One kept-alive connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used_at: float = 0.0


@dataclass
class OpenLoop:
    """A plan being carried out."""

    plan: dict[str, Any]
    free: list[Connection] = field(default_factory=list)
    times: dict[str, list[float]] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    opened: int = 0
    received: int = 0

    async def run(self) -> dict[str, Any]:
        """Ask for as long as the plan says; return what was measured."""
        rate, chosen = self.plan["rate"], random.Random(self.plan["seed"])
        count = int(rate * self.plan["seconds"])
        kinds = chosen.choices(self.plan["kinds"], [kind["weight"] for kind in self.plan["kinds"]], k=count)
        began, asked, tasks = time.perf_counter() + 0.1, time.process_time(), []
        for number, kind in enumerate(kinds):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            head = chosen.choice(kind["heads"])
            tasks.append(asyncio.create_task(self.ask(kind["name"], head.encode(), due)))
        await asyncio.gather(*tasks)
        return {
            "times": self.times,
            "statuses": self.statuses,
            "connections": self.opened,
            "bytes": self.received,
            "processor_seconds": time.process_time() - asked,
        }

    async def ask(self, name: str, head: bytes, due: float) -> None:
        """Ask once, and note how long that took since it was due."""
        try:
            status = await asyncio.wait_for(self.answered(head), GIVE_UP_SECONDS)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            status = type(error).__name__
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.times.setdefault(name, []).append(time.perf_counter() - due)

    async def answered(self, head: bytes) -> str:
        """Send a request, read its whole answer, and return its status."""
        while self.free and time.perf_counter() - self.free[0].used_at > IDLE_SECONDS:
            self.free.pop(0).writer.close()
        connection = self.free.pop() if self.free else await self.connect()
        connection.writer.write(head)
        top = (await connection.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in top[1:])}
        status = top[0].split(" ")[1]
        if headers.get("transfer-encoding") == "chunked":
            await self.read_chunks(connection.reader)
        elif status != "304":
            body = await connection.reader.readexactly(int(headers.get("content-length", "0")))
            self.received += len(body)
        if headers.get("connection") == "close":
            connection.writer.close()
        else:
            connection.used_at = time.perf_counter()
            self.free.append(connection)
        return status

    async def read_chunks(self, reader: asyncio.StreamReader) -> None:
        """Read a body that comes in chunks."""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
            self.received += size
        await reader.readuntil(b"\r\n")

    async def connect(self) -> Connection:
        """Open one more connection."""
        self.opened += 1
        return Connection(*await asyncio.open_connection(self.plan["host"], self.plan["port"], limit=CHUNK))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(OpenLoop(json.load(sys.stdin)).run())))
