"""
A small typed client of the REST API, blocking and awaiting.

    with TemperClient("http://127.0.0.1:8321", token) as temper:
        run = temper.start(recipe)
        for event in run.events():
            print(event["kind"])
        print(run.wait()["state"])

    async with AsyncTemperClient("http://127.0.0.1:8321", token) as temper:
        run = await temper.start(recipe)
        print((await run.wait())["state"])

Bodies come back as the API sent them, so that they can be written out as JSON unchanged; the
types in `app/client_types.py` name what a program needs of them.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, Self

import httpx2 as httpx

from app.client_askings import AskingCalls
from app.client_datasets import DatasetCalls
from app.client_events import COME_BACK_SECONDS, EventReader, RunEvent
from app.client_handles import AsyncRunHandle, RunHandle
from app.client_runs import FINAL_STATES, ResultCalls, RunCalls
from app.client_steps import Awaiting, Blocking, Pause, Request, Steps, T, TemperError
from app.client_sweeps import SweepCalls
from app.client_webhooks import WebhookCalls

__all__ = ["FINAL_STATES", "AsyncRunHandle", "AsyncTemperClient", "RunHandle", "TemperClient", "TemperError"]

TRANSPORT_RETRIES = 2  # of connecting; a request that was sent is never sent again
CHUNK_BYTES = 1 << 20


class _Calls(RunCalls, ResultCalls, DatasetCalls, SweepCalls, AskingCalls, WebhookCalls):
    """Everything that both clients can ask."""

    url: str
    _token: str
    _timeout_seconds: float

    def __init__(self, url: str, token: str, *, timeout_seconds: float = 30.0) -> None:
        """Prepare a connection; nothing is sent yet."""
        self.url, self._token, self._timeout_seconds = url.rstrip("/"), token, timeout_seconds

    def _options(self) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return {"base_url": self.url, "headers": headers, "timeout": self._timeout_seconds}

    def _sent(self, request: Request) -> dict[str, Any]:
        timeout = {} if request.timeout_seconds is None else {"timeout": request.timeout_seconds}
        body = {} if request.json is None else {"json": request.json}
        return {"params": request.params, "headers": request.headers} | timeout | body

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            why = str(error).partition("] ")[2] or str(error)  # without the system's number
            raise TemperError(0, "unreachable", f"No Temper answers at {self.url}: {why}. Is it running?") from error


class TemperClient(_Calls, Blocking):
    """A connection to one server, for one thread."""

    def __init__(self, url: str, token: str, *, timeout_seconds: float = 30.0) -> None:
        """Prepare a connection; nothing is sent yet."""
        super().__init__(url, token, timeout_seconds=timeout_seconds)
        self._http = httpx.Client(**self._options(), transport=httpx.HTTPTransport(retries=TRANSPORT_RETRIES))

    def __enter__(self) -> Self:
        """Use the client for a while."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def start(self, recipe: Mapping[str, Any], **options: Any) -> RunHandle:  # noqa: ANN401 - those of `create_run`
        """Start a run and return a handle on it."""
        return RunHandle(self, self.create_run(recipe, **options)["id"])

    def handle(self, run_id: int) -> RunHandle:
        """Return a handle on a run that is there."""
        return RunHandle(self, run_id)

    def events(self, run_id: int, *, after: int = 0) -> Iterator[RunEvent]:
        """Yield what happens to a run until it has ended, nothing twice; comes back where the connection breaks."""
        reader = EventReader(run_id, after=after)
        while not reader.is_over:
            pause = COME_BACK_SECONDS
            try:
                asked = reader.request()
                with self._http.stream(asked.method, asked.path, headers=asked.headers) as reply:
                    if not reply.is_success:
                        reply.read()
                        pause = reader.refused(reply)
                    else:
                        yield from filter(None, map(reader.take, reply.iter_lines()))
            except httpx.HTTPError as error:
                pause = reader.broken(error)
            if not reader.is_over:
                time.sleep(pause)

    def drive(self, steps: Steps[T]) -> T:
        """Send what steps ask for, until they end."""
        try:
            step = next(steps)
            while True:
                try:
                    reply = self._take(step)
                except TemperError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(reply)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _take(self, step: Request | Pause) -> httpx.Response | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        with self._telling(), _opened(step.file) as content:
            if step.target is None:
                return self._http.request(step.method, step.path, content=content, **self._sent(step))
            with self._http.stream(step.method, step.path, **self._sent(step)) as reply:
                if not reply.is_success:
                    reply.read()
                    return reply
                with _whole(step.target) as output:
                    for chunk in reply.iter_bytes(CHUNK_BYTES):
                        output.write(chunk)
            return reply


class AsyncTemperClient(_Calls, Awaiting):
    """The same for programs that await: every call of `TemperClient` is a coroutine here."""

    def __init__(self, url: str, token: str, *, timeout_seconds: float = 30.0) -> None:
        """Prepare a connection; nothing is sent yet."""
        super().__init__(url, token, timeout_seconds=timeout_seconds)
        self._http = httpx.AsyncClient(**self._options(), transport=httpx.AsyncHTTPTransport(retries=TRANSPORT_RETRIES))

    async def __aenter__(self) -> Self:
        """Use the client for a while."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def start(self, recipe: Mapping[str, Any], **options: Any) -> AsyncRunHandle:  # noqa: ANN401
        """Start a run and return a handle on it."""
        return AsyncRunHandle(self, (await self.create_run(recipe, **options))["id"])

    def handle(self, run_id: int) -> AsyncRunHandle:
        """Return a handle on a run that is there."""
        return AsyncRunHandle(self, run_id)

    async def events(self, run_id: int, *, after: int = 0) -> AsyncIterator[RunEvent]:
        """Yield what happens to a run until it has ended, nothing twice; comes back where the connection breaks."""
        reader = EventReader(run_id, after=after)
        while not reader.is_over:
            pause = COME_BACK_SECONDS
            try:
                asked = reader.request()
                async with self._http.stream(asked.method, asked.path, headers=asked.headers) as reply:
                    if not reply.is_success:
                        await reply.aread()
                        pause = reader.refused(reply)
                    else:
                        async for line in reply.aiter_lines():
                            if event := reader.take(line):
                                yield event
            except httpx.HTTPError as error:
                pause = reader.broken(error)
            if not reader.is_over:
                await asyncio.sleep(pause)

    async def drive(self, steps: Steps[T]) -> T:
        """Send what steps ask for, until they end."""
        try:
            step = next(steps)
            while True:
                try:
                    reply = await self._take(step)
                except TemperError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(reply)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def _take(self, step: Request | Pause) -> httpx.Response | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        with self._telling(), _opened(step.file) as file:
            content = None if file is None else _chunks(file)
            if step.target is None:
                return await self._http.request(step.method, step.path, content=content, **self._sent(step))
            async with self._http.stream(step.method, step.path, **self._sent(step)) as reply:
                if not reply.is_success:
                    await reply.aread()
                    return reply
                with _whole(step.target) as output:
                    async for chunk in reply.aiter_bytes(CHUNK_BYTES):
                        await asyncio.to_thread(output.write, chunk)
            return reply


def _opened(path: Path | None) -> Any:  # noqa: ANN401 - a context that may hold a file
    return nullcontext() if path is None else path.open("rb")


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
        yield chunk


@contextmanager
def _whole(target: Path) -> Iterator[IO[bytes]]:
    """Write a file that is there once it is whole, and not before."""
    partial = target.with_name(f"{target.name}.part")
    try:
        with partial.open("wb") as output:
            yield output
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
