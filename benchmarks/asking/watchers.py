"""
Watch a run from many pages at once: `python -m benchmarks.asking.watchers < PLAN`, a process of its own.

Says how many streams were opened, what the others were answered, how many points of the curve came, how many
of these some watcher did not get, and how long after the first watcher the last one had a point. Only points are
compared: cues to look at the panel anew fall together as each stream needs them. The plan, and the answer on standard
output, are JSON.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

ON_THE_WAY_SECONDS = 2.0  # a point that first came this shortly before the end may not have reached all


class Watchers:
    """A plan being carried out."""

    def __init__(self, plan: dict[str, Any]) -> None:
        """Begin with nobody."""
        self.plan, self.statuses, self.broken = plan, Counter[str](), 0
        self.arrived: dict[str, list[float]] = {}
        self.is_over = asyncio.Event()

    async def run(self) -> dict[str, Any]:
        """Watch for as long as the plan says; return what was seen."""
        tasks = [asyncio.create_task(self.watch(head.encode())) for head in self.plan["heads"]]
        while sum(self.statuses.values()) < len(tasks):  # noqa: ASYNC110 - any of hundreds of tasks may be the last
            await asyncio.sleep(0.1)
        began = time.perf_counter()
        sys.stderr.write(f"{self.statuses['200']}\n")  # all are there: the other generator may begin
        sys.stderr.flush()
        await asyncio.sleep(self.plan["seconds"])
        self.is_over.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        ended = time.perf_counter() - ON_THE_WAY_SECONDS
        points = [times for times in self.arrived.values() if began <= min(times) < ended]
        return {
            "statuses": dict(self.statuses),
            "broken": self.broken,
            "points": len(points),
            "points_left_out": sum(len(times) != self.statuses["200"] for times in points),
            "spreads": [max(times) - min(times) for times in points],
        }

    async def watch(self, head: bytes) -> None:
        """Open one stream and read it until it ends."""
        reader, writer = await asyncio.open_connection(self.plan["host"], self.plan["port"])
        try:
            writer.write(head)
            top = await reader.readuntil(b"\r\n\r\n")
            status = top.split(b" ", 2)[1].decode()
            self.statuses[status] += 1
            kind = b""
            while status == "200":
                line = await reader.readline()
                if not line:
                    self.broken += not self.is_over.is_set()
                    return
                if line.startswith(b"event:"):
                    kind = line
                elif line.startswith(b"id:") and kind == b"event: metric\n":
                    self.arrived.setdefault(line.decode(), []).append(time.perf_counter())
        finally:
            writer.close()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(Watchers(json.load(sys.stdin)).run())))
