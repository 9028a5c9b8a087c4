"""
What a sweep will do before it is started: its runs, how long each is, and what all of them take together.

Each run is forecast as a run alone is, see `forecasts.py`; the times of all of them are from one earlier
run. Covers the runs of the sweep. Does not cover what else waits in the queue, nor that a parrot is
stopped early: with that it takes less.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from typing import Any

from sqlmodel import Session

from app.domain.forecasts import Forecast, forecast_recipe
from app.domain.messages import Message, message
from app.domain.models import Model
from app.domain.rates import MeasuredRun, find_measured, times_of
from app.domain.recipes import Method
from app.domain.registry import find_model
from app.domain.sweep_plans import PlannedRun, SweepPlan, planned_runs


@dataclass(frozen=True)
class RunForecast:
    """What is known of one run of a sweep before it starts."""

    planned: PlannedRun
    known: Forecast
    seconds: float | None
    """Answers included; None where no run like it has told."""


@dataclass(frozen=True)
class SweepForecast:
    """What is known of a sweep before it starts; None where it is not known, and `unknown` says why."""

    runs: Sequence[RunForecast]
    iterations: int | None
    """Of all runs together."""
    seconds: float | None
    """From the first start to the last end, with as many at once as there may be and are devices."""
    lanes: int
    """Runs that train at the same time."""
    has_devices: bool
    """A worker is there; else it is as if there were one device."""
    disk_bytes: int | None
    """Of all runs, once they have finished."""
    memory_bytes: int | None
    """Of a GPU: what the largest of the runs takes, with the recipe's method."""
    measured_on: str
    unknown: Sequence[Message]
    is_counting: bool

    @property
    def longest(self) -> float | None:
        """Seconds of the longest run."""
        times = [run.seconds for run in self.runs if run.seconds is not None]
        return max(times) if len(times) == len(self.runs) and times else None


def forecast_sweep(session: Session, plan: SweepPlan, *, device: str, devices: int) -> SweepForecast:
    """
    Say what a sweep will do; its values are right.

    Args:
        device: as of `forecast_recipe`.
        devices: how many runs the workers that are there can train at once; 0 for no worker.
    """
    model = find_model(session, plan.recipe.model)
    found = find_measured(session, plan.recipe, model, device=device, waits=False) if model else None
    runs = _forecast_runs(plan, model, found, device=device)
    lanes = max(1, min(plan.at_once, devices or 1, len(runs)))
    times = [run.seconds for run in runs]
    method = plan.recipe.method
    return SweepForecast(
        runs=runs,
        iterations=_sum(run.known.iterations for run in runs),
        seconds=None if None in times else seconds_in_lanes([time or 0.0 for time in times], lanes),
        lanes=lanes,
        has_devices=devices > 0,
        disk_bytes=_sum(run.known.disk_bytes for run in runs),
        memory_bytes=_largest(runs, method),
        measured_on=found.named if found else "",
        unknown=_unknown(runs, model, found),
        is_counting=any(run.known.is_counting for run in runs) or bool(found and found.is_counting),
    )


def _forecast_runs(
    plan: SweepPlan, model: Model | None, found: MeasuredRun | None, *, device: str
) -> list[RunForecast]:
    known: dict[Any, Forecast] = {}
    made = []
    for planned in planned_runs(plan):
        training = planned.recipe.training
        key = (planned.recipe.mix, training.model_copy(update={"learning_rate": 1e-3}))  # which costs nothing
        if key not in known:
            known[key] = forecast_recipe(planned.recipe, model=model, device=device, waits=False)
        made.append(RunForecast(planned, known[key], _seconds(planned, known[key], found)))
    return made


def _seconds(planned: PlannedRun, known: Forecast, found: MeasuredRun | None) -> float | None:
    if found is None or known.iterations is None:
        return None
    times = times_of(planned.recipe, found, iterations=known.iterations, tokens=known.tokens)
    return times.training + (times.answering or 0.0)


def seconds_in_lanes(times: Sequence[float], lanes: int) -> float:
    """Return how long runs take that start in their order, so many at once: each as soon as another has ended."""
    ends = [0.0] * lanes
    heapify(ends)
    for time in times:
        heapreplace(ends, ends[0] + time)
    return max(ends)


def _sum(values: Iterable[int | None]) -> int | None:
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _largest(runs: Sequence[RunForecast], method: Method) -> int | None:
    found = [run.known.memory[method] for run in runs if run.known.memory and method in run.known.memory]
    return max(found) if len(found) == len(runs) and found else None


def _unknown(runs: Sequence[RunForecast], model: Model | None, found: MeasuredRun | None) -> list[Message]:
    reasons: list[Message] = []
    for run in runs:
        reasons += [reason for reason in run.known.unknown if reason not in reasons]
    if model is not None and found is None:
        reasons.append(message("How long it takes is not known: no run of this model has told on such a device yet."))
    return reasons
