"""What the client of the REST API asks about sweeps; `TemperClient` has it all."""

from collections.abc import Mapping
from typing import Any, Protocol, TypedDict, cast

from app.client_datasets import Connection


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


class SweepCalls(Connection, Protocol):
    """Start, forecast, look at, change and stop sweeps."""

    def create_sweep(self, plan: Mapping[str, Any], *, key: str | None = None) -> SweepDetail:
        """
        Start a sweep; TemperError names every field that needs another value.

        Args:
            key: a name of this request; sent again with the same one, it makes no second sweep.
        """
        headers = {"Idempotency-Key": key} if key else {}
        return cast("SweepDetail", self._ask("POST", "/sweeps", json=dict(plan), headers=headers))

    def forecast_sweep(self, plan: Mapping[str, Any]) -> SweepForecast:
        """Say what a sweep will do; nothing is stored."""
        return cast("SweepForecast", self._ask("POST", "/sweeps/forecast", json=dict(plan)))

    def sweeps(self, *, offset: int = 0, limit: int = 25) -> SweepList:
        """Return one page of sweeps, the newest first."""
        return cast("SweepList", self._ask("GET", "/sweeps", params={"offset": offset, "limit": limit}))

    def sweep(self, sweep_id: int) -> SweepDetail:
        """Return one sweep with its runs and what to keep of them."""
        return cast("SweepDetail", self._ask("GET", f"/sweeps/{sweep_id}"))

    def stop_sweep(self, sweep_id: int) -> SweepDetail:
        """Stop every run of a sweep that waits or trains."""
        return cast("SweepDetail", self._ask("POST", f"/sweeps/{sweep_id}/stop"))

    def change_sweep(self, sweep_id: int, *, at_once: int) -> SweepDetail:
        """Let more or fewer runs of a sweep train at the same time."""
        return cast("SweepDetail", self._ask("PATCH", f"/sweeps/{sweep_id}", json={"at_once": at_once}))
