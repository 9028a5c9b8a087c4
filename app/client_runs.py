"""What the client of the REST API asks about runs, their answers, artifacts and models."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from app.client_steps import (
    PATIENCE_SECONDS,
    Endpoint,
    Pause,
    Request,
    Steps,
    TemperError,
    ask,
    ask_all,
    ask_lines,
    ask_text,
    send,
    until,
)
from app.client_types import Artifact, Checkpoint, Comparison, Forecast, Model, Run, RunList

FINAL_STATES = frozenset({"finished", "failed", "cancelled"})
POLL_SECONDS = 1.0


class RunCalls:
    """Start, list, look at, wait for and stop runs; and read what they made."""

    @Endpoint
    def create_run(
        self,
        recipe: Mapping[str, Any],
        *,
        after: int | None = None,
        cloned_from: int | None = None,
        key: str | None = None,
    ) -> Steps[Run]:
        """
        Start a run; TemperError names every field that needs another value.

        Args:
            after: the run that must have ended first.
            cloned_from: the run that this one follows.
            key: a name of this request; sent again with the same one, it makes no second run.
        """
        params = _given(after=after, cloned_from=cloned_from)
        return ask("POST", "/runs", json=recipe, params=params, headers=keyed(key))

    @Endpoint
    def runs(
        self, /, *, query: str = "", state: str | None = None, cursor: str = "", limit: int = 25, **filters: str | int
    ) -> Steps[RunList]:
        """Return one page of runs, the newest first; `filters` are those of `GET /runs`, such as `verdict`."""
        asked = {"q": query, "cursor": cursor, "limit": limit} | _given(state=state) | filters
        return ask("GET", "/runs", params=asked)

    @Endpoint
    def all_runs(self, /, *, query: str = "", state: str | None = None, **filters: str | int) -> Steps[list[Run]]:
        """Return every run that fits."""
        return ask_all("/runs", "runs", q=query, **_given(state=state), **filters)

    @Endpoint
    def run(self, run_id: int) -> Steps[Run]:
        """Return one run with its recipe."""
        return ask("GET", f"/runs/{run_id}")

    @Endpoint
    def stop(self, run_id: int, *, keep: bool = False) -> Steps[Run]:
        """Ask a run to stop; with `keep` it saves and answers a checkpoint first."""
        return ask("POST", f"/runs/{run_id}/stop", params={"keep": keep})

    @Endpoint
    def resume(self, run_id: int) -> Steps[Run]:
        """Let a run that failed or was stopped go on from its newest whole checkpoint."""
        return ask("POST", f"/runs/{run_id}/resume")

    @Endpoint
    def move(self, run_id: int, place: int) -> Steps[Run]:
        """Give a waiting run another place in the queue, counted from 1."""
        return ask("POST", f"/runs/{run_id}/queue", params={"place": place})

    @Endpoint
    def wait(
        self, run_id: int, *, poll_seconds: float = POLL_SECONDS, on_change: Callable[[Run], None] = lambda _: None
    ) -> Steps[Run]:
        """Wait until a run has ended and return it; outlives a short outage of the server."""
        heard_at = time.monotonic()
        while True:
            try:
                run: Run = yield from ask("GET", f"/runs/{run_id}")
                heard_at = time.monotonic()
                on_change(run)
                if run["state"] in FINAL_STATES:
                    return run
            except TemperError as error:
                if error.status or time.monotonic() - heard_at > PATIENCE_SECONDS:
                    raise
            yield Pause(poll_seconds)

    @Endpoint
    def forecast(self, recipe: Mapping[str, Any]) -> Steps[Forecast]:
        """Say what a recipe will do; nothing is stored."""
        return ask("POST", "/forecast", json=recipe)

    @Endpoint
    def metrics(self, run_id: int, *, after: int = 0) -> Steps[list[dict[str, Any]]]:
        """Return what was measured at the iterations after one."""
        return _objects(ask_lines(f"/runs/{run_id}/metrics", after=after))

    @Endpoint
    def checkpoints(self, run_id: int) -> Steps[list[Checkpoint]]:
        """Return a run's checkpoints, the base model first."""
        return ask_all(f"/runs/{run_id}/checkpoints", "checkpoints")

    @Endpoint
    def answers(self, run_id: int) -> Steps[list[dict[str, Any]]]:
        """Return every answer of a run."""
        return _objects(ask_lines(f"/runs/{run_id}/answers"))

    @Endpoint
    def log(self, run_id: int, *, lines: int = 200) -> Steps[str]:
        """Return the end of a run's log."""
        return ask_text(f"/runs/{run_id}/log", lines=lines)

    @Endpoint
    def card(self, run_id: int) -> Steps[str]:
        """Return a run's recipe card: one HTML file, which `temper run` takes as a recipe."""
        return ask_text(f"/runs/{run_id}/card")


class ResultCalls:
    """Compare answers, make artifacts, and know models and presets."""

    @Endpoint
    def compare(self, *, checkpoints: Sequence[int] = (), runs: Sequence[int] = ()) -> Steps[Comparison]:
        """Return the answers of checkpoints, or of whole runs, side by side."""
        return ask("GET", "/compare", params=_compared(checkpoints, runs))

    @Endpoint
    def compare_as(
        self, form: Literal["csv", "markdown"], *, checkpoints: Sequence[int] = (), runs: Sequence[int] = ()
    ) -> Steps[str]:
        """Return a comparison as text."""
        return ask_text("/compare", **_compared(checkpoints, runs), format=form)

    @Endpoint
    def convert(self, checkpoint_id: int) -> Steps[Artifact]:
        """Ask for the adapter of a checkpoint."""
        return ask("POST", f"/checkpoints/{checkpoint_id}/convert")

    @Endpoint
    def merge(self, checkpoint_id: int) -> Steps[Artifact]:
        """Ask for the merged model of a checkpoint."""
        return ask("POST", f"/checkpoints/{checkpoint_id}/merge")

    @Endpoint
    def artifact(self, artifact_id: int) -> Steps[Artifact]:
        """Return an artifact."""
        return ask("GET", f"/artifacts/{artifact_id}")

    @Endpoint
    def wait_for_artifact(self, artifact_id: int, *, poll_seconds: float = POLL_SECONDS) -> Steps[Artifact]:
        """Wait until an artifact is made, or cannot be."""

        def asked() -> Steps[Artifact]:
            return ask("GET", f"/artifacts/{artifact_id}")

        return until(lambda artifact: artifact["state"] in FINAL_STATES, asked, poll_seconds=poll_seconds)

    @Endpoint
    def download(self, artifact_id: int, file: str, target: Path) -> Steps[None]:
        """Write one file of an artifact to `target`; a transfer that breaks off leaves nothing there."""
        return fetch(f"/artifacts/{artifact_id}/download", target, file=file)

    @Endpoint
    def models(self) -> Steps[list[Model]]:
        """Return the registered models."""
        return ask_all("/models", "models")

    @Endpoint
    def add_model(self, *, name: str, source: str, template: str = "", approve: str = "") -> Steps[Model]:
        """Register a model; it may have to be prepared before runs can start from it."""
        body = {"name": name, "source": source, "template": template, "approve": approve}
        return ask("POST", "/models", json=body)

    @Endpoint
    def review_model(self, source: str) -> Steps[dict[str, Any]]:
        """Return what could run code in a folder on the server, or in the cache of a hub id there."""
        return ask("GET", "/models/review", params={"source": source})

    @Endpoint
    def approve_model(self, source: str, sha256: str) -> Steps[dict[str, Any]]:
        """Approve these files of a folder by their hash: whoever calls this has looked at them."""
        return ask("POST", "/models/approvals", json={"source": source, "sha256": sha256})

    @Endpoint
    def model(self, name: str) -> Steps[Model | None]:
        """Return the model of a name, None when it is not registered."""
        models: list[Model] = yield from ask_all("/models", "models")
        return next((model for model in models if model["name"] == name), None)

    @Endpoint
    def remove_model(self, model_id: int) -> Steps[None]:
        """Forget a model that no run was made from."""
        return ask("DELETE", f"/models/{model_id}")

    @Endpoint
    def presets(self) -> Steps[list[dict[str, Any]]]:
        """Return the recipes to start from."""
        return ask("GET", "/presets", "presets")

    @Endpoint
    def is_ready(self) -> Steps[bool]:
        """Whether the server answers, and its database and queue do too."""
        try:
            reply = yield Request("GET", "/readyz")
        except TemperError:
            return False
        return bool(reply.is_success)


def fetch(path: str, target: Path, **params: str) -> Steps[None]:
    """Write a file that the server sends to `target`."""
    yield from send(Request("GET", f"/api/v1{path}", params, target=target))


def keyed(key: str | None) -> dict[str, str]:
    """Return the header that names a request."""
    return {"Idempotency-Key": key} if key else {}


def _objects(lines: Steps[str]) -> Steps[list[dict[str, Any]]]:
    text = yield from lines
    return [json.loads(line) for line in text.split("\n") if line]


def _given(**params: str | int | None) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _compared(checkpoints: Sequence[int], runs: Sequence[int]) -> dict[str, str]:
    asked = {"checkpoints": checkpoints, "runs": runs}
    return {name: ",".join(map(str, ids)) for name, ids in asked.items() if ids}
