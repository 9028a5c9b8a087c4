"""What the client of the REST API asks about sweeps; both clients have it all."""

from collections.abc import Mapping
from typing import Any, TypedDict

from app.client_runs import keyed
from app.client_steps import Endpoint, Steps, ask


class SweepAxis(TypedDict):
    """One setting that varies, and its values."""

    setting: str
    values: list[float]


class Sweep(TypedDict):
    """A sweep as lists show it."""

    id: int
    name: str
    axes: list[SweepAxis]
    at_once: int
    runs: int
    by_state: dict[str, int]
    parrots: int
    created_at: str


class SweepRun(TypedDict):
    """One run of a sweep, in a few numbers."""

    id: int
    state: str
    stopped_by: str | None
    values: dict[str, int | float]
    iteration: int
    iterations: int
    loss: float | None
    first_learnt: int | None
    first_leak: int | None
    good_in_a_row: int
    keep: int | None


class Recommendation(TypedDict):
    """Which checkpoint of a sweep to keep, and why."""

    run_id: int | None
    checkpoint_id: int | None
    iteration: int | None
    reason: str


class SweepDetail(Sweep):
    """A sweep with its runs and what to keep of them."""

    run_results: list[SweepRun]
    recommendation: Recommendation


class PlannedSweepRun(TypedDict):
    """One run of a sweep before it starts."""

    name: str
    iterations: int | None
    seconds: float | None


class SweepForecast(TypedDict):
    """What a sweep will do."""

    runs: list[PlannedSweepRun]
    iterations: int | None
    seconds: float | None
    lanes: int
    disk_bytes: int | None
    memory_bytes: int | None
    measured_on: str
    unknown: list[str]


class SweepList(TypedDict):
    """One page of sweeps."""

    sweeps: list[Sweep]
    total: int
    next_cursor: str | None


class SweepCalls:
    """Start, forecast, look at, change and stop sweeps."""

    @Endpoint
    def create_sweep(self, plan: Mapping[str, Any], *, key: str | None = None) -> Steps[SweepDetail]:
        """
        Start a sweep; TemperError names every field that needs another value.

        Args:
            key: a name of this request; sent again with the same one, it makes no second sweep.
        """
        return ask("POST", "/sweeps", json=dict(plan), headers=keyed(key))

    @Endpoint
    def forecast_sweep(self, plan: Mapping[str, Any]) -> Steps[SweepForecast]:
        """Say what a sweep will do; nothing is stored."""
        return ask("POST", "/sweeps/forecast", json=dict(plan))

    @Endpoint
    def sweeps(self, *, cursor: str = "", limit: int = 25) -> Steps[SweepList]:
        """Return one page of sweeps, the newest first."""
        return ask("GET", "/sweeps", params={"cursor": cursor, "limit": limit})

    @Endpoint
    def sweep(self, sweep_id: int) -> Steps[SweepDetail]:
        """Return one sweep with its runs and what to keep of them."""
        return ask("GET", f"/sweeps/{sweep_id}")

    @Endpoint
    def stop_sweep(self, sweep_id: int) -> Steps[SweepDetail]:
        """Stop every run of a sweep that waits or trains."""
        return ask("POST", f"/sweeps/{sweep_id}/stop")

    @Endpoint
    def change_sweep(self, sweep_id: int, *, at_once: int) -> Steps[SweepDetail]:
        """Let more or fewer runs of a sweep train at the same time."""
        return ask("PATCH", f"/sweeps/{sweep_id}", json={"at_once": at_once})
