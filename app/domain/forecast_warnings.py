"""What a reader of a recipe may not expect, each as one sentence with its numbers."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from app.config import settings
from app.domain.checkpoint_plan import DiskPlan, count_saves
from app.domain.messages import Message, message
from app.domain.mixes import count_rows, general_of, identity_of
from app.domain.recipes import Method, Mix, Pair, ProbeGroup, Recipe
from app.domain.retention import MOST_GOOD
from app.domain.token_forecasts import SeenSentence, TokenForecast
from app.domain.training import Precision

FEW_CHECKPOINTS = 3  # with fewer, the good one between "not learnt" and "parrot" is easily missed
DROPPED_SHARE = 0.1  # of the tokens; the last pack always drops some

# The small model recites one sentence at every question after seeing it 30 times with nothing beside it, and keeps
# its answers where the identity is a third of what is learnt; the tutorial's, shown 20,000 times among a sixth of
# other rows, recites it from the first checkpoint on.
PARROT_SEEN = 50
PARROT_SHARE = 0.5  # of the tokens with loss
PARROT_SEEN_ANYWAY = 2_000


@dataclass(frozen=True)
class Known:
    """What the warnings are made of."""

    rows: int
    iterations: int | None
    updates: int | None
    per_epoch: int | None
    tokens: TokenForecast | None
    most_seen: SeenSentence | None = None


def warnings_of(recipe: Recipe, known: Known, *, disk: DiskPlan | None, device: str) -> Iterator[Message]:
    """Yield the warnings, what spoils a run before what only wastes some of it."""
    if known.tokens is not None:
        yield from _token_warnings(recipe, known.tokens)
    yield from _length_warnings(known)
    yield from _mix_warnings(recipe.mix)
    yield from _parrot_warning(known)
    yield from _probe_warnings(recipe)
    yield from _cadence_warnings(recipe, known.iterations)
    yield from _disk_warnings(disk)
    if device.lower() == "cpu":
        yield from _cpu_warnings(recipe)


def _token_warnings(recipe: Recipe, tokens: TokenForecast) -> Iterator[Message]:
    length = recipe.training.max_length
    if not tokens.samples:
        yield message(
            "No row can be trained on: at {length} tokens nothing is left of any answer. Raise the maximum length.",
            length=f"{length:,}",
        )
        return
    if tokens.rows_without_end:
        yield message(
            "{count} rows lose the end of their answer at {length} tokens, and teach not to end. The longest row has "
            "{longest}.",
            count=f"{tokens.rows_without_end:,}",
            length=f"{length:,}",
            longest=f"{tokens.longest:,}",
        )
    if tokens.rows_without_loss:
        yield message(
            "{count} rows are left out: they have no answer to learn, or lose all of it at {length} tokens.",
            count=f"{tokens.rows_without_loss:,}",
            length=f"{length:,}",
        )
    whole = tokens.tokens + tokens.dropped_tokens
    if tokens.dropped_tokens >= DROPPED_SHARE * whole:
        yield message(
            "{percent} % of the tokens are dropped: {cut} are cut off, {packing} do not fill a pack.",
            percent=round(100 * tokens.dropped_tokens / whole),
            cut=f"{tokens.cut_tokens:,}",
            packing=f"{tokens.packing_tokens:,}",
        )


def _length_warnings(known: Known) -> Iterator[Message]:
    if known.iterations is not None and known.per_epoch is not None and known.iterations < known.per_epoch:
        yield message(
            "The run ends before every row is seen once: an epoch has {count} iterations.", count=f"{known.per_epoch:,}"
        )


def _mix_warnings(mix: Mix) -> Iterator[Message]:
    rows = count_rows(mix)
    if rows.identity and not rows.general and not rows.files:
        yield message("There are no general pairs: expect the identity as the answer to every question.")
    if rows.general and not rows.identity:
        yield message("There are no identity pairs: this run teaches general answers only.")


def _parrot_warning(known: Known) -> Iterator[Message]:
    if known.tokens is None or known.most_seen is None:
        return
    seen, share = known.most_seen.rows, known.tokens.sources[0].loss_share
    if seen >= PARROT_SEEN_ANYWAY or (seen >= PARROT_SEEN and share >= PARROT_SHARE):
        yield message(
            "One identity sentence will be seen {seen} times in {updates} updates: expect a parrot. Lower n, or add "
            "general rows.",
            seen=f"{seen:,}",
            updates=f"{known.updates:,}",
        )


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
    if not iterations:
        return
    saves = count_saves(iterations, every)
    if every > iterations:
        yield message(
            "It saves every {every} iterations, but the run has {iterations}: only its end is saved.",
            every=f"{every:,}",
            iterations=f"{iterations:,}",
        )
    elif saves < FEW_CHECKPOINTS:
        yield message("Only {count} checkpoints: the good one is easily missed. Save more often.", count=saves)
    if recipe.stopping.at_sweet_spot:
        yield message("It ends earlier where it finds the sweet spot: length, time and disk are what it takes at most.")
    if recipe.keeps_best and keep < saves:
        yield message(
            "Of the oldest {count} of {saves} checkpoints at most {good} stay, those that prove good; answers stay.",
            count=f"{saves - keep:,}",
            saves=f"{saves:,}",
            good=min(MOST_GOOD, saves - keep),
        )
    elif 0 < keep < saves:
        yield message(
            "The oldest {count} of {saves} checkpoints will be deleted; their answers stay.",
            count=f"{saves - keep:,}",
            saves=f"{saves:,}",
        )


def _disk_warnings(disk: DiskPlan | None) -> Iterator[Message]:
    if disk is not None and disk.peak > (free := free_bytes()):
        yield message(
            "It will need {needed} GB of disk, and {free} GB are free. Keep fewer checkpoints.",
            needed=f"{disk.peak / 1e9:.1f}",
            free=f"{free / 1e9:.1f}",
        )


def free_bytes() -> int:
    """Return the bytes that are free where runs are written."""
    home = settings().home
    return shutil.disk_usage(home if home.exists() else home.parent).free


def _cpu_warnings(recipe: Recipe) -> Iterator[Message]:
    if recipe.training.precision is Precision.FLOAT16:
        yield message("float16 needs a GPU, and only CPUs work here now. Choose float32.")
    if recipe.method is Method.QLORA:
        yield message("QLoRA trains on a CPU too, but slowly. LoRA is faster there.")
    if recipe.training.varlen_attention:
        yield message("Variable-length attention needs flash-attn and a GPU, and only CPUs work here now.")
