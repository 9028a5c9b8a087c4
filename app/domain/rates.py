"""
How long a run will take, from what earlier runs of the same model on the same kind of device took.

A run is a measure of another when it is of the same model, method, precision, packing and activation
checkpointing. One with the same tokens in an iteration goes before others, which are scaled by them;
of those one that has finished, then one with as many answers, then the newest. Covers loading,
iterations, saving and answering. Does not cover waiting in the queue, nor other work on the same
machine now or then.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean, median
from typing import Any

from sqlmodel import Session, col, func, select

from app.domain.checkpoint_plan import count_saves
from app.domain.errors import UnavailableError
from app.domain.models import Attempt, Event, Model, Run, RunState
from app.domain.recipes import Recipe
from app.domain.token_cache import StillCountingError
from app.domain.token_forecasts import TokenForecast, forecast_tokens

LEAST_MEASURED = 3  # iterations of a run that say something
MOST_MEASURED = 500  # the newest: what a page reads in a hundredth of a second
MOST_PHASES = 100
MOST_BEFORE_TRAINING = 20  # events
WARM_UP = 2  # first iterations, in which memory is taken and kernels are chosen
LONGEST = 10  # times the median: an iteration that took longer was one of a machine that slept
RUNS_LOOKED_AT = 50
SAME_TOKENS = 0.02  # two runs whose iterations differ less are not scaled
CPU = "cpu"


@dataclass(frozen=True)
class Times:
    """Seconds of a run, and whom they are from."""

    training: float
    answering: float | None
    """None where that run answered nothing and this one will."""
    measured_on: str
    scaled_by: float | None
    """How many times the tokens in an iteration of the measured run; None where they are the same."""
    is_counting: bool = False
    """A saved set of the measured run is being counted: until it is, its packs are taken as full."""


@dataclass(frozen=True)
class Measured:
    """What one run took."""

    seconds: float
    """Of an iteration."""
    loading: float
    """What is neither of these: loading above all."""
    saving: float
    """Of a checkpoint."""
    answering: float | None
    """Of a checkpoint's probes."""
    answering_base: float | None
    """Of the base model's: it stops sooner or later than what was tuned."""


def forecast_times(  # noqa: PLR0913 - what times depend on
    session: Session,
    recipe: Recipe,
    model: Model,
    *,
    iterations: int,
    tokens: TokenForecast | None,
    device: str,
    waits: bool = True,
) -> Times | None:
    """
    Return how long a run will take; None where no earlier run tells.

    Args:
        waits: for saved sets of the measured run that were never counted.
    """
    found = find_measured(session, recipe, model, device=device, waits=waits)
    return times_of(recipe, found, iterations=iterations, tokens=tokens) if found else None


@dataclass(frozen=True)
class MeasuredRun:
    """An earlier run that is a measure of others, and what it took."""

    recipe: Recipe
    took: Measured
    named: str
    """The run and its device, for people."""
    tokens: float
    """Of one of its iterations."""
    is_counting: bool
    """A saved set of it is being counted: until it is, its packs are taken as full."""


def find_measured(
    session: Session, recipe: Recipe, model: Model, *, device: str, waits: bool = True
) -> MeasuredRun | None:
    """Return the earlier run that is the best measure of a recipe, and of all that differ in their mix or length."""
    candidates = sorted(_alike(session, recipe, model, device), key=lambda entry: _distance(recipe, entry[0], entry[2]))
    for run, hardware, other in candidates:
        measured = measure(session, run)
        if measured is not None:
            base, is_counting = _tokens_of(run, other, waits=waits)
            return MeasuredRun(other, measured, _name_of(run, hardware), base, is_counting)
    return None


def times_of(recipe: Recipe, found: MeasuredRun, *, iterations: int, tokens: TokenForecast | None) -> Times:
    """Return how long a run will take at the pace of another."""
    factor = tokens_per_iteration(recipe, tokens) / found.tokens
    times = _times(recipe, found.recipe, found.took, iterations=iterations, factor=factor, named=found.named)
    return replace(times, is_counting=found.is_counting)


def _distance(recipe: Recipe, run: Run, other: Recipe) -> tuple[bool, bool, bool, int]:
    """Return how far a run is from being a measure of a recipe: of other tokens, unended, of other answers, old."""
    differs = abs(_planned_tokens(other) / _planned_tokens(recipe) - 1) > SAME_TOKENS
    answers = _most_answered(other) != _most_answered(recipe)
    return differs, run.state is not RunState.FINISHED, answers, -(run.id or 0)


def _most_answered(recipe: Recipe) -> int:
    """Count the tokens that a checkpoint's answers may have."""
    return len(recipe.probes) * recipe.checkpoints.max_new_tokens if recipe.checkpoints.evaluate else 0


def tokens_per_iteration(recipe: Recipe, tokens: TokenForecast | None) -> float:
    """Return the tokens of an iteration: counted where they are, else what fills its packs."""
    if tokens is None or not tokens.samples:
        return _planned_tokens(recipe)
    return (tokens.tokens + tokens.padding_tokens) / tokens.samples * recipe.training.batch_size


def _planned_tokens(recipe: Recipe) -> float:
    return float(recipe.training.batch_size * recipe.training.max_length)


def _alike(session: Session, recipe: Recipe, model: Model, device: str) -> Iterable[tuple[Run, str, Recipe]]:
    """Yield the newest runs that are a measure of a recipe, each with its device."""
    statement = (
        select(Run, Attempt.device)
        .join(Attempt, (col(Attempt.run_id) == Run.id) & (col(Attempt.number) == Run.attempt))
        .where(Run.model_id == model.id, Run.iteration >= LEAST_MEASURED)
        .order_by(col(Run.id).desc())
        .limit(RUNS_LOOKED_AT)
    )
    for run, hardware in session.exec(statement):
        other = Recipe.model_validate(run.recipe)
        if _is_kind(hardware, device) and _form_of(other) == _form_of(recipe):
            yield run, hardware, other


def _is_kind(hardware: str, device: str) -> bool:
    if not hardware or not device:
        return bool(hardware)
    if device.lower() == CPU:
        return hardware.lower().startswith(CPU)
    return hardware == device


def _form_of(recipe: Recipe) -> tuple[object, ...]:
    training = recipe.training
    return recipe.method, training.precision, training.packing, training.activation_checkpointing


def _tokens_of(run: Run, recipe: Recipe, *, waits: bool) -> tuple[float, bool]:
    """Return the tokens of an iteration of an earlier run, and whether they are still being counted."""
    try:
        return tokens_per_iteration(recipe, forecast_tokens(recipe, run.model, waits=waits)), False
    except UnavailableError as error:
        return _planned_tokens(recipe), isinstance(error, StillCountingError)


def _name_of(run: Run, hardware: str) -> str:
    return f"#{run.id} {run.name}, {hardware}"


def _times(recipe: Recipe, other: Recipe, measured: Measured, *, iterations: int, factor: float, named: str) -> Times:
    saves = count_saves(iterations, recipe.checkpoints.every)
    training = measured.loading + iterations * measured.seconds * factor + saves * measured.saving
    is_scaled = abs(factor - 1) > SAME_TOKENS
    return Times(training, _answering(recipe, other, measured, saves), named, factor if is_scaled else None)


def _answering(recipe: Recipe, other: Recipe, measured: Measured, saves: int) -> float | None:
    """Return the seconds of all answers: as many tokens as they may have, at the pace of the measured run's."""
    if not (recipe.checkpoints.evaluate and recipe.probes):
        return 0.0
    if measured.answering is None or measured.answering_base is None or not other.probes:
        return None
    scale = _most_answered(recipe) / _most_answered(other)
    return (measured.answering_base + saves * measured.answering) * scale


# ── What one run took ──────────────────────────────────────────────────────


def measure(session: Session, run: Run) -> Measured | None:
    """Return what a run took; None where it has trained too little to tell."""
    iterations = _newest(session, run, "metric", limit=MOST_MEASURED)
    seconds = [data["seconds"] for _, data in iterations if data["iteration"] > WARM_UP]
    if len(seconds) < LEAST_MEASURED - WARM_UP:
        return None
    each = _mean(seconds)
    saving = _saving(_newest(session, run, "phase", "checkpoint", limit=MOST_PHASES))
    answering, answering_base = _answers(run)
    loading = _rest(session, run, seconds=each, saving=saving)
    if loading is None:
        loading = _loading(session, run)
    return Measured(each, loading, saving, answering, answering_base)


def _newest(session: Session, run: Run, *kinds: str, limit: int) -> Sequence[tuple[str, Mapping[str, Any]]]:
    """Return the newest events of some kinds of a run's last attempt, in their order."""
    statement = (
        select(Event.kind, Event.data)
        .where(Event.run_id == run.id, Event.attempt == run.attempt, col(Event.kind).in_(kinds))
        .order_by(col(Event.id).desc())
        .limit(limit)
    )
    return list(reversed(session.exec(statement).all()))


def _mean(seconds: Sequence[float]) -> float:
    """Return the mean, very long ones shortened: times add up, so a median would miss the slow half."""
    most = LONGEST * median(seconds)
    return fmean(min(each, most) for each in seconds)


def _rest(session: Session, run: Run, *, seconds: float, saving: float) -> float | None:
    """Return what a finished run took beside iterations, saves and answers, so that all of it adds up again."""
    attempt = next((each for each in run.attempts if each.number == run.attempt), None)
    if attempt is None or attempt.ended_at is None or run.state is not RunState.FINISHED:
        return None
    of_attempt = (Event.run_id == run.id, Event.attempt == run.attempt)
    counted = select(Event.kind, func.count()).where(*of_attempt).group_by(col(Event.kind))
    counts = dict(session.exec(counted).all())
    answered = session.exec(select(Event.data).where(*of_attempt, Event.kind == "answers")).all()
    told = counts.get("metric", 0) * seconds + counts.get("checkpoint", 0) * saving
    total = (attempt.ended_at - attempt.started_at).total_seconds()
    answering: float = sum(data["seconds"] for data in answered)
    return max(0.0, total - told - answering)


def _loading(session: Session, run: Run) -> float:
    """Return the seconds from the start of the trainer to its first iteration, without answering."""
    statement = (
        select(Event.kind, Event.data)
        .where(Event.run_id == run.id, Event.attempt == run.attempt, col(Event.kind).in_(["phase", "answers"]))
        .order_by(col(Event.id))
        .limit(MOST_BEFORE_TRAINING)
    )
    began: float | None = None
    answering = 0.0
    for kind, data in session.exec(statement):
        if kind == "answers":
            answering += data["seconds"]
        elif data["phase"] == "training":
            took: float = data["time"] - (began if began is not None else data["time"])
            return max(0.0, took - answering)
        elif began is None:
            began = data["time"]
    return 0.0


def _saving(events: Sequence[tuple[str, Mapping[str, Any]]]) -> float:
    pairs = pairwise(events)
    seconds = [
        saved["time"] - began["time"]
        for (_, began), (kind, saved) in pairs
        if kind == "checkpoint" and began.get("phase") == "saving"
    ]
    return median(seconds) if seconds else 0.0


def _answers(run: Run) -> tuple[float | None, float | None]:
    """Return the seconds that the answers of a tuned checkpoint take, and those of the base model."""
    times = {row.iteration: row.answered_seconds for row in run.checkpoints if row.answered_seconds is not None}
    tuned = [seconds for iteration, seconds in times.items() if iteration]
    mean = fmean(tuned or times.values()) if times else None
    return mean, times.get(0, mean)
