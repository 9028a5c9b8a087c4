"""
How far a run is, and how long it still takes.

The time left covers the iterations and the answers still to come, at the pace of those that are
behind. It does not cover loading, tokenising or saving, nor other work on the same machine.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.domain.models import Checkpoint, Run, RunState
from app.domain.recipes import Recipe

MOST_BLOCKS = 60  # in a list's bar; thinner ones cannot be told apart


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a run's bar, from one checkpoint to the next; `start` and `width` in percent of the bar."""

    start: float
    width: float
    iteration: int
    """At its end."""
    filled: float
    """0 to 1: how much of it is trained."""


def planned_around(iteration: int, iterations: int, every: int, *, count: int) -> list[int]:
    """Return the planned checkpoints near an iteration, at most `count` before it and as many after."""
    present = iteration // every
    first, last = max(1, present - count + 1), min(iterations // every, present + count)
    planned = [place * every for place in range(first, last + 1)]
    is_end_near = iterations % every and present + count > iterations // every
    return [*planned, iterations] if is_end_near else planned


def count_planned(iteration: int, iterations: int, every: int) -> int:
    """Count the checkpoints that a run has planned up to an iteration."""
    is_uneven_end = iteration == iterations and iterations % every > 0
    return iteration // every + is_uneven_end


def planned_checkpoints(iterations: int, every: int) -> list[int]:
    """Return the iterations at which a run saves: every so many, and the last one."""
    planned = list(range(every, iterations + 1, every))
    return planned if not iterations or (planned and planned[-1] == iterations) else [*planned, iterations]


def bar_blocks(iteration: int, iterations: int, every: int) -> list[Block]:
    """Cut a run's bar at its checkpoints; a run with very many gets wider blocks."""
    if iterations <= 0:
        return []
    step = max(every, -(-iterations // MOST_BLOCKS))
    ends = planned_checkpoints(iterations, step)
    return [_block(begin, end, iteration, iterations) for begin, end in zip([0, *ends], ends, strict=False)]


def _block(begin: int, end: int, iteration: int, iterations: int) -> Block:
    filled = min(1.0, max(0.0, (iteration - begin) / (end - begin)))
    return Block(100 * begin / iterations, 100 * (end - begin) / iterations, end, filled)


def planned_updates(run: Run, recipe: Recipe) -> int:
    """Return the optimizer steps of the whole run."""
    return -(-run.iterations // recipe.training.accumulation)


def seconds_left(run: Run, recipe: Recipe, answered: Iterable[float]) -> float | None:
    """
    Estimate the seconds until a run is through; None while nothing is measured.

    Args:
        answered: seconds that each past checkpoint took to answer.
    """
    return seconds_until(run, recipe, answered, run.iterations)


def seconds_until(run: Run, recipe: Recipe, answered: Iterable[float], iteration: int) -> float | None:
    """Estimate the seconds until an iteration is trained and everything before it is answered."""
    if run.state is not RunState.RUNNING or not run.seconds_per_iteration or iteration <= run.iteration:
        return None
    times = list(answered)
    pace = sum(times) / len(times) if times and recipe.checkpoints.evaluate else 0.0
    every = recipe.checkpoints.every
    last = iteration if iteration >= run.iterations else iteration - 1  # its own answers come after it is trained
    stops = count_planned(last, run.iterations, every) - count_planned(run.iteration, run.iterations, every)
    return (iteration - run.iteration) * run.seconds_per_iteration + stops * pace


def answer_times(checkpoints: Sequence[Checkpoint]) -> list[float]:
    """Return how long each checkpoint took to answer, those that have."""
    return [row.answered_seconds for row in checkpoints if row.answered_seconds is not None]
