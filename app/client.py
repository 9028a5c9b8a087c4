"""
A small typed client of the REST API.

    with TemperClient("http://127.0.0.1:8321", token) as temper:
        run = temper.wait(temper.create_run(recipe)["id"])

Bodies come back as the API sent them, so that they can be written out as JSON unchanged; the
types in `app/client_types.py` name what a program needs of them.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

import httpx2 as httpx

from app.client_datasets import POLL_SECONDS, READING_SECONDS, DatasetCalls
from app.client_sweeps import SweepCalls
from app.client_types import (
    Artifact,
    Checkpoint,
    Comparison,
    Forecast,
    Model,
    Run,
    RunList,
)

FINAL_STATES = frozenset({"finished", "failed", "cancelled"})
TRANSPORT_RETRIES = 2  # of connecting; a request that was sent is never sent again
PATIENCE_SECONDS = 30.0  # a server that restarts while a run is followed


class TemperError(Exception):
    """The server refused, or did not answer; `status` is 0 when it did not."""

    def __init__(self, status: int, kind: str, text: str, fields: Sequence[Mapping[str, str]] = ()) -> None:
        """Keep what the server said."""
        super().__init__(text)
        self.status, self.kind, self.fields = status, kind, tuple(fields)


class TemperClient(DatasetCalls, SweepCalls):
    """A connection to one server, for one thread."""

    def __init__(self, url: str, token: str, *, timeout_seconds: float = 30.0) -> None:
        """Prepare a connection; nothing is sent yet."""
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=timeout_seconds,
            transport=httpx.HTTPTransport(retries=TRANSPORT_RETRIES),
        )

    def __enter__(self) -> Self:
        """Use the client for a while."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    # Runs

    def create_run(self, recipe: Mapping[str, Any], *, after: int | None = None, key: str | None = None) -> Run:
        """
        Start a run; TemperError names every field that needs another value.

        Args:
            after: the run that must have ended first.
            key: a name of this request; sent again with the same one, it makes no second run.
        """
        params = {"after": after} if after is not None else {}
        headers = {"Idempotency-Key": key} if key else {}
        return cast("Run", self._ask("POST", "/runs", json=recipe, params=params, headers=headers))

    def runs(self, *, query: str = "", state: str | None = None, offset: int = 0, limit: int = 25) -> RunList:
        """Return one page of runs, the newest first."""
        asked = {"q": query, "offset": offset, "limit": limit} | ({"state": state} if state else {})
        return cast("RunList", self._ask("GET", "/runs", params=asked))

    def run(self, run_id: int) -> Run:
        """Return one run with its recipe."""
        return cast("Run", self._ask("GET", f"/runs/{run_id}"))

    def stop(self, run_id: int, *, keep: bool = False) -> Run:
        """Ask a run to stop; with `keep` it saves and answers a checkpoint first."""
        return cast("Run", self._ask("POST", f"/runs/{run_id}/stop", params={"keep": keep}))

    def resume(self, run_id: int) -> Run:
        """Let a run that failed or was stopped go on from its newest whole checkpoint."""
        return cast("Run", self._ask("POST", f"/runs/{run_id}/resume"))

    def move(self, run_id: int, place: int) -> Run:
        """Give a waiting run another place in the queue, counted from 1."""
        return cast("Run", self._ask("POST", f"/runs/{run_id}/queue", params={"place": place}))

    def follow(self, run_id: int, *, poll_seconds: float = POLL_SECONDS) -> Iterator[Run]:
        """Yield a run as it is now and again, the last time when it has ended; outlives a short outage."""
        heard_at = time.monotonic()
        while True:
            try:
                run = self.run(run_id)
                heard_at = time.monotonic()
                yield run
                if run["state"] in FINAL_STATES:
                    return
            except TemperError as error:
                if error.status or time.monotonic() - heard_at > PATIENCE_SECONDS:
                    raise
            time.sleep(poll_seconds)

    def wait(
        self, run_id: int, *, poll_seconds: float = POLL_SECONDS, on_change: Callable[[Run], None] = lambda _: None
    ) -> Run:
        """Wait until a run has ended and return it."""
        for run in self.follow(run_id, poll_seconds=poll_seconds):
            on_change(run)
        return run

    def forecast(self, recipe: Mapping[str, Any]) -> Forecast:
        """Say what a recipe will do; nothing is stored."""
        return cast("Forecast", self._ask("POST", "/forecast", json=recipe))

    def metrics(self, run_id: int, *, after: int = 0) -> list[dict[str, Any]]:
        """Return what was measured at the iterations after one."""
        return cast(
            "list[dict[str, Any]]", self._ask("GET", f"/runs/{run_id}/metrics", params={"after": after})["metrics"]
        )

    def checkpoints(self, run_id: int) -> list[Checkpoint]:
        """Return a run's checkpoints, the base model first."""
        return cast("list[Checkpoint]", self._ask("GET", f"/runs/{run_id}/checkpoints")["checkpoints"])

    def answers(self, run_id: int) -> list[dict[str, Any]]:
        """Return every answer of a run."""
        return cast("list[dict[str, Any]]", self._ask("GET", f"/runs/{run_id}/answers")["answers"])

    def log(self, run_id: int, *, lines: int = 200) -> str:
        """Return the end of a run's log."""
        return self._send("GET", f"/runs/{run_id}/log", params={"lines": lines}).text

    def card(self, run_id: int) -> str:
        """Return a run's recipe card: one HTML file, which `temper run` takes as a recipe."""
        return self._send("GET", f"/runs/{run_id}/card").text

    # Comparison

    def compare(self, *, checkpoints: Sequence[int] = (), runs: Sequence[int] = ()) -> Comparison:
        """Return the answers of checkpoints, or of whole runs, side by side."""
        return cast("Comparison", self._ask("GET", "/compare", params=_compared(checkpoints, runs)))

    def compare_as(
        self, form: Literal["csv", "markdown"], *, checkpoints: Sequence[int] = (), runs: Sequence[int] = ()
    ) -> str:
        """Return a comparison as text."""
        return self._send("GET", "/compare", params=_compared(checkpoints, runs) | {"format": form}).text

    # Artifacts

    def convert(self, checkpoint_id: int) -> Artifact:
        """Ask for the adapter of a checkpoint."""
        return cast("Artifact", self._ask("POST", f"/checkpoints/{checkpoint_id}/convert"))

    def merge(self, checkpoint_id: int) -> Artifact:
        """Ask for the merged model of a checkpoint."""
        return cast("Artifact", self._ask("POST", f"/checkpoints/{checkpoint_id}/merge"))

    def artifact(self, artifact_id: int) -> Artifact:
        """Return an artifact."""
        return cast("Artifact", self._ask("GET", f"/artifacts/{artifact_id}"))

    def wait_for_artifact(self, artifact_id: int, *, poll_seconds: float = POLL_SECONDS) -> Artifact:
        """Wait until an artifact is made, or cannot be."""
        while (artifact := self.artifact(artifact_id))["state"] not in FINAL_STATES:
            time.sleep(poll_seconds)
        return artifact

    def download(self, artifact_id: int, file: str, target: Path) -> None:
        """Write one file of an artifact to `target`; a transfer that breaks off leaves nothing there."""
        self._fetch(f"/artifacts/{artifact_id}/download", target, {"file": file})

    def _fetch(self, path: str, target: Path, params: Mapping[str, str]) -> None:
        partial = target.with_name(f"{target.name}.part")
        address = f"{self.url}/api/v1{path}"
        try:
            with self._http.stream("GET", address, params=params) as reply, partial.open("wb") as output:
                if not reply.is_success:
                    reply.read()
                    raise _refused(reply)
                for chunk in reply.iter_bytes(1 << 20):
                    output.write(chunk)
            partial.replace(target)
        except httpx.HTTPError as error:
            raise TemperError(0, "unreachable", f"The transfer broke off: {error}") from error
        finally:
            partial.unlink(missing_ok=True)

    # Models, presets, health

    def models(self) -> list[Model]:
        """Return the registered models."""
        return cast("list[Model]", self._ask("GET", "/models")["models"])

    def add_model(self, *, name: str, source: str, template: str = "", approve: str = "") -> Model:
        """Register a model; it may have to be prepared before runs can start from it."""
        body = {"name": name, "source": source, "template": template, "approve": approve}
        return cast("Model", self._ask("POST", "/models", json=body))

    def review_model(self, source: str) -> dict[str, Any]:
        """Return what could run code in a folder on the server, or in the cache of a hub id there."""
        return cast("dict[str, Any]", self._ask("GET", "/models/review", params={"source": source}))

    def approve_model(self, source: str, sha256: str) -> dict[str, Any]:
        """Approve these files of a folder by their hash: whoever calls this has looked at them."""
        return cast("dict[str, Any]", self._ask("POST", "/models/approvals", json={"source": source, "sha256": sha256}))

    def model(self, name: str) -> Model | None:
        """Return the model of a name, None when it is not registered."""
        return next((model for model in self.models() if model["name"] == name), None)

    def presets(self) -> list[dict[str, Any]]:
        """Return the recipes to start from."""
        return cast("list[dict[str, Any]]", self._ask("GET", "/presets")["presets"])

    def is_ready(self) -> bool:
        """Whether the server answers, and its database and queue do too."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.HTTPError:
            return False

    def _ask(self, method: str, path: str, **request: Any) -> Any:  # noqa: ANN401 - whatever the body holds
        return self._send(method, path, **request).json()

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own keywords
        until = time.monotonic() + READING_SECONDS
        while True:
            try:
                reply = self._http.request(method, f"/api/v1{path}", **request)
            except httpx.HTTPError as error:
                raise TemperError(0, "unreachable", f"No Temper answers at {self.url}: {error}") from error
            if reply.is_success:
                return reply
            after = reply.headers.get("Retry-After", "")
            is_counting = reply.status_code == httpx.codes.SERVICE_UNAVAILABLE and after.isdecimal()
            if not is_counting or time.monotonic() > until:
                raise _refused(reply)
            time.sleep(int(after))


def _compared(checkpoints: Sequence[int], runs: Sequence[int]) -> dict[str, str]:
    asked = {"checkpoints": checkpoints, "runs": runs}
    return {name: ",".join(map(str, ids)) for name, ids in asked.items() if ids}


def _refused(reply: httpx.Response) -> TemperError:
    try:
        problem = reply.json()["error"]
        return TemperError(reply.status_code, problem["kind"], problem["message"], problem["fields"])
    except (ValueError, KeyError, TypeError):
        return TemperError(reply.status_code, "unknown", f"The server answered {reply.status_code}.")
