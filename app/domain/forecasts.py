"""
What a recipe will do: rows, packs, iterations, tokens, checkpoints, disk, memory and time.

Each number is exact, measured, or None with the reason among `unknown`; docs/forecast.md holds them
against what came true. Times are those of earlier runs, so they cover what these did.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlmodel import Session

from app.config import settings
from app.domain.checkpoint_plan import DiskPlan, PlannedCheckpoint, count_saves, plan_checkpoints, plan_disk
from app.domain.errors import UnavailableError
from app.domain.forecast_warnings import Known, warnings_of
from app.domain.memory import memory_of
from app.domain.messages import Message, message
from app.domain.mix_forecasts import MixForecast, forecast_mix
from app.domain.mixes import count_rows
from app.domain.models import Model
from app.domain.rates import Times, forecast_times
from app.domain.recipes import MAX_ROWS, Method, Recipe
from app.domain.registry import find_model
from app.domain.token_forecasts import SeenSentence, TokenForecast, forecast_tokens

__all__ = ["Forecast", "MixForecast", "PlannedCheckpoint", "TokenForecast", "forecast_mix", "forecast_recipe"]

MAX_MARKS = 200  # more lines than this cannot be told apart on a bar
ROW_BYTES = 150  # of a row in the file beside its text


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


@dataclass
class _Unknowns:
    """Why some things are not known, each reason once."""

    reasons: list[Message] = field(default_factory=list)

    def add(self, reason: Message | None) -> None:
        """Note a reason."""
        if reason is not None and reason not in self.reasons:
            self.reasons.append(reason)


def forecast_recipe(
    recipe: Recipe, *, session: Session | None = None, model: Model | None = None, device: str = ""
) -> Forecast:
    """
    Say what a recipe will do.

    Args:
        session: looks the model up, and earlier runs; without it neither is known.
        model: the recipe's, where the caller has it already.
        device: `cpu` where only CPUs train, else a GPU's name, or empty: warnings and times of
            earlier runs then leave the device out.
    """
    unknown = _Unknowns()
    model = model or (find_model(session, recipe.model) if session else None)
    rows = count_rows(recipe.mix).total
    tokens = _tokens(recipe, model, rows, unknown)
    per_epoch = _iterations_per_epoch(recipe, rows, tokens)
    iterations = _iterations(recipe, per_epoch)
    if iterations is None and not unknown.reasons:
        unknown.add(message("How long the run is cannot be told: no row can be trained on."))
    epochs = iterations / per_epoch if iterations is not None and per_epoch else None
    saves = count_saves(iterations, recipe.checkpoints.every) if iterations else None
    asked = len(recipe.probes) if recipe.checkpoints.evaluate else 0
    disk = _disk(recipe, model, iterations=iterations, rows=rows, unknown=unknown)
    times = _times(recipe, session, model, iterations=iterations, tokens=tokens, device=device, unknown=unknown)
    updates = -(-iterations // recipe.training.accumulation) if iterations is not None else None
    seen = _seen(tokens, epochs)
    known = Known(
        rows, iterations, updates, per_epoch, tokens, seen[0] if seen else None, disk, _free_bytes() if disk else 0
    )
    return Forecast(
        rows=rows,
        iterations=iterations,
        updates=updates,
        epochs=epochs,
        iterations_per_epoch=per_epoch,
        packs=tokens.samples if tokens else None if recipe.training.packing else rows,
        tokens=tokens,
        checkpoints=plan_checkpoints(recipe, iterations) if iterations else (),
        saves=saves,
        answers=(saves + 1) * asked if saves is not None else None,
        identity_seen=seen,
        disk_bytes=disk.at_end if disk else None,
        peak_bytes=disk.peak if disk else None,
        memory=memory_of(recipe, Path(model.path)) if model else None,
        training_seconds=times.training if times else None,
        answering_seconds=times.answering if times else None,
        measured_on=times.measured_on if times else "",
        marks=_marks(iterations, recipe.checkpoints.every),
        warnings=tuple(warnings_of(recipe, known, device=device)),
        unknown=tuple(unknown.reasons),
    )


def _tokens(recipe: Recipe, model: Model | None, rows: int, unknown: _Unknowns) -> TokenForecast | None:
    if model is None:
        unknown.add(message("Tokens are counted once the recipe names a registered model."))
        return None
    if not 0 < rows <= MAX_ROWS:
        unknown.add(message("Tokens are counted of a mix that can be trained on."))
        return None
    try:
        return forecast_tokens(recipe, model)
    except UnavailableError as error:
        unknown.add(error.message)
        return None


# ── Length ─────────────────────────────────────────────────────────────────


def _iterations_per_epoch(recipe: Recipe, rows: int, tokens: TokenForecast | None) -> int | None:
    training = recipe.training
    if tokens is None:
        return None if training.packing or not rows else -(-rows // training.batch_size)
    return -(-tokens.samples // training.batch_size)


def _iterations(recipe: Recipe, per_epoch: int | None) -> int | None:
    training = recipe.training
    if training.iterations is not None:
        return training.iterations
    return per_epoch * training.epochs if per_epoch and training.epochs else None


def _marks(iterations: int | None, every: int) -> tuple[int, ...]:
    if not iterations or count_saves(iterations, every) > MAX_MARKS:
        return ()
    return (*range(every, iterations, every), iterations)


def _seen(tokens: TokenForecast | None, epochs: float | None) -> tuple[SeenSentence, ...]:
    if tokens is None or epochs is None:
        return ()
    return tuple(SeenSentence(each.answer, round(each.rows * epochs)) for each in tokens.sentences)


# ── Disk and time ──────────────────────────────────────────────────────────


def _disk(
    recipe: Recipe, model: Model | None, *, iterations: int | None, rows: int, unknown: _Unknowns
) -> DiskPlan | None:
    if model is None or not iterations:
        return None
    plan = plan_disk(recipe, Path(model.path), iterations=iterations, rows_bytes=_rows_bytes(recipe, rows))
    if plan is None:
        unknown.add(message("The size of checkpoints is not known: the model's weights are not on this machine."))
    return plan


def _rows_bytes(recipe: Recipe, rows: int) -> int:
    """Estimate the file of the rows, which is small beside any checkpoint."""
    texts: Sequence[int] = [len(pair.question + pair.answer) for pair in (*recipe.mix.identity, *recipe.mix.general)]
    return rows * (ROW_BYTES + len(recipe.mix.system.encode()) + 2 * max(texts, default=0))


def _free_bytes() -> int:
    home = settings().home
    return shutil.disk_usage(home if home.exists() else home.parent).free


def _times(  # noqa: PLR0913 - what times depend on
    recipe: Recipe,
    session: Session | None,
    model: Model | None,
    *,
    iterations: int | None,
    tokens: TokenForecast | None,
    device: str,
    unknown: _Unknowns,
) -> Times | None:
    if session is None or model is None or not iterations:
        return None
    times = forecast_times(session, recipe, model, iterations=iterations, tokens=tokens, device=device)
    if times is None:
        unknown.add(
            message("How long it takes is not known: no run of this model and method on such a device has told yet.")
        )
    elif times.scaled_by is not None:
        unknown.add(
            message(
                "Times are scaled from a run with {factor} times the tokens in an iteration: expect them to be near, "
                "not right.",
                factor=f"{1 / times.scaled_by:.2g}",
            )
        )
    return times
