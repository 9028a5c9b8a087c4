"""
What a recipe will do, as far as it is known without a tokenizer.

Covers rows, shares, updates, checkpoints and answers, and warns of what a reader may not expect.
Does not cover packs, tokens, time, memory or disk: with packing on, how many iterations an
epoch has is known only when the rows are tokenised.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from app.domain.messages import Message, message
from app.domain.mixes import count_rows, general_of, general_pairs, identity_of
from app.domain.recipes import GeneralSet, Method, Mix, Pair, ProbeGroup, Recipe
from app.domain.training import Precision

FEW_CHECKPOINTS = 3  # with fewer, the good one between "not learnt" and "parrot" is easily missed


@dataclass(frozen=True)
class SourceShare:
    """One source of the mix, in numbers."""

    pairs: int
    rows: int | None
    """None while its copies are not known."""
    share: float | None
    """Of all rows, 0 to 1."""


@dataclass(frozen=True)
class MixForecast:
    """Every source of a mix in numbers: what the form's table shows."""

    identity: SourceShare
    sets: dict[GeneralSet, SourceShare]
    own: SourceShare
    pairs: int
    rows: int | None

    @property
    def general_rows(self) -> int | None:
        """Rows that are not the identity's."""
        return None if self.rows is None or self.identity.rows is None else self.rows - self.identity.rows

    @property
    def general_share(self) -> float | None:
        """Their share of all rows."""
        return None if self.general_rows is None else self.general_rows / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Forecast:
    """What is known of a run before it starts; None where it is not known yet."""

    iterations: int | None
    updates: int | None
    epochs: float | None
    checkpoints: int | None
    answers: int | None
    """In all, the base model's included."""
    marks: tuple[int, ...]
    """Iterations of the checkpoints, at most `MAX_MARKS` of them."""
    warnings: tuple[Message, ...]


MAX_MARKS = 200  # more lines than this cannot be told apart on a bar


def forecast_mix(mix: Mix, *, knows_identity: bool = True, knows_general: bool = True) -> MixForecast:
    """
    Count each source of a mix.

    Args:
        knows_identity: the identity's count is one; else what depends on it is None.
        knows_general: the same of the general pairs' count.
    """
    total = count_rows(mix).total if knows_identity and knows_general else None
    sets = {name: len(general_pairs(name)) if name in mix.general_sets else 0 for name in GeneralSet}
    general = mix.general_count if knows_general else None
    return MixForecast(
        identity=_share(len(mix.identity), mix.identity_count if knows_identity else None, total),
        sets={name: _share(pairs, general, total) for name, pairs in sets.items()},
        own=_share(len(mix.general), general, total),
        pairs=len(mix.identity) + sum(sets.values()) + len(mix.general),
        rows=total,
    )


def _share(pairs: int, copies: int | None, total: int | None) -> SourceShare:
    rows = pairs * (1 + copies) if copies is not None else None
    share = None if rows is None or total is None else rows / total if total else 0.0
    return SourceShare(pairs=pairs, rows=rows, share=share)


def forecast_recipe(recipe: Recipe, *, device: str = "") -> Forecast:
    """
    Say what is known of a recipe.

    Args:
        device: `cpu` where only CPUs train, else empty: warnings then leave the device out.
    """
    training, every = recipe.training, recipe.checkpoints.every
    rows = count_rows(recipe.mix).total
    per_epoch = None if training.packing or not rows else math.ceil(rows / training.batch_size)
    iterations = _iterations(recipe, per_epoch)
    saves = math.ceil(iterations / every) if iterations is not None else None
    asked = len(recipe.probes) if recipe.checkpoints.evaluate else 0
    return Forecast(
        iterations=iterations,
        updates=math.ceil(iterations / training.accumulation) if iterations is not None else None,
        epochs=iterations / per_epoch if iterations is not None and per_epoch else None,
        checkpoints=saves,
        answers=(saves + 1) * asked if saves is not None else None,
        marks=_marks(iterations, every),
        warnings=tuple(_warnings(recipe, iterations, per_epoch, device)),
    )


def _iterations(recipe: Recipe, per_epoch: int | None) -> int | None:
    training = recipe.training
    if training.iterations is not None:
        return training.iterations
    return per_epoch * training.epochs if per_epoch and training.epochs else None


def _marks(iterations: int | None, every: int) -> tuple[int, ...]:
    if iterations is None or math.ceil(iterations / every) > MAX_MARKS:
        return ()
    return (*range(every, iterations, every), iterations)


# ── Warnings ───────────────────────────────────────────────────────────────


def _warnings(recipe: Recipe, iterations: int | None, per_epoch: int | None, device: str) -> Iterator[Message]:
    if iterations is not None and per_epoch is not None and iterations < per_epoch:
        yield message(
            "The run ends before every row is seen once: an epoch has {count} iterations.", count=f"{per_epoch:,}"
        )
    yield from _mix_warnings(recipe.mix)
    yield from _probe_warnings(recipe)
    yield from _cadence_warnings(recipe, iterations)
    if device == "cpu":
        yield from _cpu_warnings(recipe)


def _mix_warnings(mix: Mix) -> Iterator[Message]:
    rows = count_rows(mix)
    if rows.identity and not rows.general:
        yield message("There are no general pairs: expect the identity as the answer to every question.")
    if rows.general and not rows.identity:
        yield message("There are no identity pairs: this run teaches general answers only.")


def _probe_warnings(recipe: Recipe) -> Iterator[Message]:
    taught = {_plain(pair) for pair in (*identity_of(recipe.mix), *general_of(recipe.mix))}
    for number, probe in enumerate(recipe.probes, start=1):
        if probe.group is not ProbeGroup.IDENTITY and probe.question.strip().casefold() in taught:
            yield message(
                "Probe {number} is trained on: it shows what was learnt by heart, not what was kept.", number=number
            )
    groups = {probe.group for probe in recipe.probes}
    if recipe.checkpoints.evaluate and groups and ProbeGroup.GENERAL not in groups:
        yield message("No probe is general: nothing will show what the model forgets.")


def _plain(pair: Pair) -> str:
    return pair.question.strip().casefold()


def _cadence_warnings(recipe: Recipe, iterations: int | None) -> Iterator[Message]:
    every, keep = recipe.checkpoints.every, recipe.checkpoints.keep
    saves = math.ceil(iterations / every) if iterations is not None else None
    if saves is not None and saves < FEW_CHECKPOINTS:
        yield message("Only {count} checkpoints: the good one is easily missed. Save more often.", count=saves)
    if saves is not None and 0 < keep < saves:
        yield message(
            "The oldest {count} of {saves} checkpoints will be deleted; their answers stay.",
            count=saves - keep,
            saves=saves,
        )


def _cpu_warnings(recipe: Recipe) -> Iterator[Message]:
    if recipe.training.precision is Precision.FLOAT16:
        yield message("float16 needs a GPU, and only CPUs work here now. Choose float32.")
    if recipe.method is Method.QLORA:
        yield message("QLoRA trains on a CPU too, but slowly. LoRA is faster there.")
    if recipe.training.varlen_attention:
        yield message("Variable-length attention needs flash-attn and a GPU, and only CPUs work here now.")
