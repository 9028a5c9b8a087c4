"""
What a recipe will do: rows, packs, iterations, tokens, checkpoints, disk, memory and time.

Each number is exact, measured, or None with the reason among `unknown`; docs/forecast.md holds them
against what came true. Times are those of earlier runs, so they cover what these did.
"""

from dataclasses import dataclass, field
from pathlib import Path

from sqlmodel import Session

from app.domain.checkpoint_plan import DiskPlan, PlannedCheckpoint, count_saves, plan_checkpoints, plan_disk
from app.domain.datasets.rows import row_line
from app.domain.datasets.store import dataset_file
from app.domain.disk import size_of
from app.domain.errors import UnavailableError
from app.domain.forecast_warnings import Known, warnings_of
from app.domain.memory import memory_of
from app.domain.messages import Message, message
from app.domain.mixes import count_rows, general_of, identity_of, row_of
from app.domain.models import Model
from app.domain.rates import Times, forecast_times
from app.domain.recipes import MAX_ROWS, Method, Recipe
from app.domain.registry import find_model
from app.domain.token_cache import StillCountingError
from app.domain.token_forecasts import SeenSentence, TokenForecast, forecast_tokens

__all__ = ["Forecast", "PlannedCheckpoint", "TokenForecast", "forecast_recipe"]

MAX_MARKS = 200  # more lines than this cannot be told apart on a bar


@dataclass(frozen=True)
class Forecast:
    """What is known of a run before it starts; None where it is not known, and `unknown` says why."""

    rows: int | None
    iterations: int | None
    updates: int | None
    epochs: float | None
    iterations_per_epoch: int | None
    packs: int | None
    """Samples of one epoch, as the trainer will count them: rows where packing is off."""
    tokens: TokenForecast | None
    checkpoints: tuple[PlannedCheckpoint, ...]
    """The newest thousand; none while the length is not known."""
    saves: int | None
    """How many checkpoints there are in all."""
    answers: int | None
    """In all, the base model's included."""
    identity_seen: tuple[SeenSentence, ...]
    """Identity sentences, and how often the whole run shows each; the most seen one first."""
    disk_bytes: int | None
    """Once the run has finished."""
    peak_bytes: int | None
    """The most at any time."""
    memory: dict[Method, int] | None
    """Bytes of a GPU, for each method."""
    training_seconds: float | None
    """Loading, iterations and saving."""
    answering_seconds: float | None
    measured_on: str
    """The run and the device that the times are from; empty where there are none."""
    marks: tuple[int, ...]
    """Iterations of the checkpoints, at most `MAX_MARKS` of them."""
    warnings: tuple[Message, ...]
    unknown: tuple[Message, ...]
    is_counting: bool = False
    """A saved set is being counted: asked again in a moment, more is known."""


@dataclass
class _Unknowns:
    """Why some things are not known, each reason once."""

    reasons: list[Message] = field(default_factory=list)
    is_counting: bool = False

    def add(self, reason: Message | None) -> None:
        """Note a reason."""
        if reason is not None and reason not in self.reasons:
            self.reasons.append(reason)


def forecast_recipe(
    recipe: Recipe,
    *,
    session: Session | None = None,
    model: Model | None = None,
    device: str = "",
    waits: bool = True,
) -> Forecast:
    """
    Say what a recipe will do.

    Args:
        session: looks the model up, and earlier runs; without it neither is known.
        model: the recipe's, where the caller has it already.
        device: `cpu` where only CPUs train, else a GPU's name, or empty: warnings and times of
            earlier runs then leave the device out.
        waits: for saved sets whose tokens were never counted; a page that is typed into does not.
    """
    unknown = _Unknowns()
    model = model or (find_model(session, recipe.model) if session else None)
    rows = count_rows(recipe.mix).total
    tokens = _tokens(recipe, model, rows, unknown=unknown, waits=waits)
    length = _length_of(recipe, rows, tokens)
    if length.iterations is None and not unknown.reasons:
        unknown.add(message("How long the run is cannot be told: no row can be trained on."))
    seen = _seen(tokens, length.epochs)
    costs = _costs_of(recipe, session, model, length=length, tokens=tokens, device=device, unknown=unknown, waits=waits)
    known = Known(rows, length.iterations, length.updates, length.iterations_per_epoch, tokens, *seen[:1])
    return Forecast(
        rows=rows,
        packs=tokens.samples if tokens else None if recipe.training.packing else rows,
        tokens=tokens,
        identity_seen=seen,
        warnings=tuple(warnings_of(recipe, known, disk=costs.disk_plan, device=device)),
        unknown=tuple(unknown.reasons),
        is_counting=unknown.is_counting,
        **vars(length),
        **{name: value for name, value in vars(costs).items() if name != "disk_plan"},
    )


def _tokens(recipe: Recipe, model: Model | None, rows: int, *, unknown: _Unknowns, waits: bool) -> TokenForecast | None:
    if model is None:
        unknown.add(message("Tokens are counted once the recipe names a registered model."))
        return None
    if not 0 < rows <= MAX_ROWS:
        unknown.add(message("Tokens are counted of a mix that can be trained on."))
        return None
    try:
        return forecast_tokens(recipe, model, waits=waits)
    except UnavailableError as error:
        unknown.is_counting = isinstance(error, StillCountingError)
        unknown.add(error.message)
        return None


# ── Length ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Length:
    """What follows from the number of iterations, named as in the forecast."""

    iterations: int | None
    updates: int | None
    epochs: float | None
    iterations_per_epoch: int | None
    saves: int | None
    answers: int | None
    checkpoints: tuple[PlannedCheckpoint, ...]
    marks: tuple[int, ...]


def _length_of(recipe: Recipe, rows: int, tokens: TokenForecast | None) -> _Length:
    per_epoch = _iterations_per_epoch(recipe, rows, tokens)
    iterations = _iterations(recipe, per_epoch)
    if not iterations:
        return _Length(None, None, None, per_epoch, None, None, (), ())
    saves = count_saves(iterations, recipe.checkpoints.every)
    asked = len(recipe.probes) if recipe.checkpoints.evaluate else 0
    return _Length(
        iterations=iterations,
        updates=-(-iterations // recipe.training.accumulation),
        epochs=iterations / per_epoch if per_epoch else None,
        iterations_per_epoch=per_epoch,
        saves=saves,
        answers=(saves + 1) * asked,
        checkpoints=plan_checkpoints(recipe, iterations),
        marks=_marks(iterations, recipe.checkpoints.every),
    )


def _iterations_per_epoch(recipe: Recipe, rows: int, tokens: TokenForecast | None) -> int | None:
    training = recipe.training
    if tokens is None:
        return None if training.packing or not rows else -(-rows // training.batch_size)
    return -(-tokens.samples // training.batch_size)


def _iterations(recipe: Recipe, per_epoch: int | None) -> int | None:
    training = recipe.training
    if per_epoch == 0:  # no row is left: the trainer says so and ends
        return None
    if training.iterations is not None:
        return training.iterations
    return per_epoch * training.epochs if per_epoch and training.epochs else None


def _marks(iterations: int, every: int) -> tuple[int, ...]:
    if count_saves(iterations, every) > MAX_MARKS:
        return ()
    return (*range(every, iterations, every), iterations)


def _seen(tokens: TokenForecast | None, epochs: float | None) -> tuple[SeenSentence, ...]:
    if tokens is None or epochs is None:
        return ()
    return tuple(SeenSentence(each.answer, round(each.rows * epochs)) for each in tokens.sentences)


# ── Disk, memory and time ──────────────────────────────────────────────────


@dataclass(frozen=True)
class _Costs:
    """What a run takes, named as in the forecast."""

    disk_plan: DiskPlan | None
    disk_bytes: int | None
    peak_bytes: int | None
    memory: dict[Method, int] | None
    training_seconds: float | None
    answering_seconds: float | None
    measured_on: str


def _costs_of(  # noqa: PLR0913 - what costs depend on
    recipe: Recipe,
    session: Session | None,
    model: Model | None,
    *,
    length: _Length,
    tokens: TokenForecast | None,
    device: str,
    unknown: _Unknowns,
    waits: bool,
) -> _Costs:
    if model is None:
        return _Costs(None, None, None, None, None, None, "")
    disk, times = None, None
    if length.iterations:
        disk = _disk(recipe, model, length.iterations, unknown)
        if session:
            times = forecast_times(
                session, recipe, model, iterations=length.iterations, tokens=tokens, device=device, waits=waits
            )
            unknown.is_counting |= bool(times and times.is_counting)
            unknown.add(_about_times(times))
    return _Costs(
        disk_plan=disk,
        disk_bytes=disk.at_end if disk else None,
        peak_bytes=disk.peak if disk else None,
        memory=memory_of(recipe, Path(model.path)),
        training_seconds=times.training if times else None,
        answering_seconds=times.answering if times else None,
        measured_on=times.measured_on if times else "",
    )


def _disk(recipe: Recipe, model: Model, iterations: int, unknown: _Unknowns) -> DiskPlan | None:
    rows_bytes = _rows_bytes(recipe)
    plan = plan_disk(recipe, Path(model.path), iterations=iterations, rows_bytes=rows_bytes)
    if plan is None:
        unknown.add(message("The size of checkpoints is not known: the model's weights are not on this machine."))
    return plan


def _rows_bytes(recipe: Recipe) -> int:
    """Return the size of the file of the rows: exact for pairs, for saved sets as if each row were of their mean."""
    identity, general, *files = count_rows(recipe.mix).sources
    total = 0
    for source, pairs in ((identity, identity_of(recipe.mix)), (general, general_of(recipe.mix))):
        lines = (len(row_line(row_of(pair, recipe.mix.system)["conversation"]).encode()) for pair in pairs)
        total += sum(source.times(place) * size for place, size in enumerate(lines))
    for source, file in zip(files, recipe.mix.files, strict=True):
        total += size_of(dataset_file(file.sha256)) * source.rows // max(source.distinct, 1)
    return total


def _about_times(times: Times | None) -> Message | None:
    """Say why times are not known, or not as well as they might be."""
    if times is None:
        return message(
            "How long it takes is not known: on such a device no run of this model has told yet with this method, "
            "precision, packing and activation checkpointing."
        )
    if times.scaled_by is None:
        return None
    return message(
        "Times are scaled: an iteration of the measured run had {factor} times the tokens. Expect them to be near, "
        "not right.",
        factor=f"{1 / times.scaled_by:.2g}",
    )
