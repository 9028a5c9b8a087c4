"""
The next recipe after one that taught a parrot: diluted, saved more often, trained more gently.

A proposal with a reason for each change, made from the verdicts of a run alone. It does not promise that
the next run is good; it moves each setting the way the demo's good run differs from its bad one.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.errors import UnavailableError
from app.domain.loss_shares import MOST_COPIES, mix_for_share, share_of_loss
from app.domain.messages import Message, message
from app.domain.mixes import count_rows, rows_in_set
from app.domain.models import Model, Run
from app.domain.prompt_templates import prompt_template
from app.domain.recipes import MAX_ROWS, GeneralSet, Mix, Recipe
from app.domain.runs import recipe_of
from app.domain.token_cache import StillCountingError, count_mix
from app.domain.token_counts import TokenCounts
from app.domain.tokenising import load_tokenizer
from app.domain.training import MAX_ITERATIONS
from app.domain.verdicts import CheckpointVerdict, Verdict

DILUTED_SHARE = 1 / 6  # one identity token for five others: what the demo's good run is near to
LEAST_SHARE = 0.05  # with less the identity is hardly learnt at all
CHECKPOINTS_BEFORE = 5  # so many until where it went wrong: one of them may be good
GENTLER = 0.5  # of the learning rate: the window between not learnt and parrot grows about twice as long
LONGER = 1.5  # times as far as where the good checkpoint should be: a gentler run gets there later
MOST_NAME = 120
CHINESE_SHARE = 0.2  # of an identity's characters: above it the built-in Chinese pairs fit


@dataclass(frozen=True)
class Change:
    """One setting that is proposed to be another."""

    path: str
    """Dotted, in the recipe."""
    old: Any
    new: Any
    reason: Message


@dataclass(frozen=True)
class Proposal:
    """The next recipe, and how it differs; no changes where nothing is to be diluted."""

    recipe: Recipe
    changes: tuple[Change, ...]
    summary: Message


@dataclass(frozen=True)
class _Story:
    """Where a run learnt, and where it went wrong; iterations, None where it did not."""

    learnt: int | None
    wrong: int | None
    is_parrot: bool
    has_good: bool
    iterations: int


def propose_dilution(run: Run, verdicts: Sequence[CheckpointVerdict], *, waits: bool = True) -> Proposal:
    """
    Propose the recipe to run after a run, whose id is then the next one's `cloned_from_id`.

    Args:
        verdicts: the run's, in any order; the base model's is left out.
        waits: for saved sets whose tokens were never counted.

    Raises:
        StillCountingError: a saved set is not counted yet, and nobody waits for it.
    """
    recipe, story = recipe_of(run), _story_of(run, verdicts)
    if story.wrong is None:
        return Proposal(recipe, (), _why_nothing(story))
    dilution = _dilute(recipe, run.model, story, waits=waits)
    about = math.ceil(story.wrong * max(1.0, dilution.before / max(dilution.after, LEAST_SHARE)))
    found = [
        *dilution.changes,
        *_training_changes(recipe, story, about),
        *_saving_changes(recipe, story, about),
    ]
    changes = tuple(change for change in found if change.new != change.old)
    data = recipe.model_dump(mode="json")
    for change in changes:
        _put(data, change.path, change.new)
    data["name"] = _name_after(recipe.name)
    return Proposal(Recipe.model_validate(data), changes, _why(story))


def _story_of(run: Run, verdicts: Sequence[CheckpointVerdict]) -> _Story:
    tuned = sorted((each for each in verdicts if each.iteration > 0), key=lambda each: each.iteration)
    bad = {Verdict.LEAKING, Verdict.PARROT}
    return _Story(
        learnt=next((each.iteration for each in tuned if each.score.identity_hits), None),
        wrong=next((each.iteration for each in tuned if each.score.verdict in bad), None),
        is_parrot=any(each.score.verdict is Verdict.PARROT for each in tuned),
        has_good=any(each.score.verdict is Verdict.GOOD for each in tuned),
        iterations=run.iterations or max((each.iteration for each in tuned), default=1),
    )


def _why(story: _Story) -> Message:
    if story.is_parrot:
        return message(
            "From iteration {wrong} on this run says what it was taught where it was not asked: dilute it.",
            wrong=story.wrong,
        )
    return message("This run begins to leak at iteration {wrong}: dilute it a little.", wrong=story.wrong)


def _why_nothing(story: _Story) -> Message:
    if story.has_good:
        return message("This run has a good checkpoint and does not leak: there is nothing to dilute.")
    if story.learnt is None:
        return message("The identity is not learnt at any checkpoint: diluting it would teach it even less.")
    return message("No checkpoint of this run leaks: there is nothing to dilute.")


# ── The mix ────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Dilution:
    """A mix before and after, and the identity's share of what is learnt in both."""

    changes: tuple[Change, ...]
    before: float
    after: float


def _dilute(recipe: Recipe, model: Model, story: _Story, *, waits: bool) -> _Dilution:
    mix = recipe.mix
    before = _share(mix, _counts(mix, model, waits=waits), recipe)
    target = DILUTED_SHARE if story.is_parrot else before / 2
    target = max(min(target, before / 2), LEAST_SHARE)
    changes = []
    rows = count_rows(mix)
    if not rows.general and not rows.files:
        fitting = _fitting_set(mix)
        reason = message("Nothing stands beside the identity. Varied pairs keep the answers that it drowns.")
        changes.append(Change("mix.general_sets", [], [fitting.value], reason))
        mix = mix.model_copy(update={"general_sets": (fitting,)})
    diluted = _diluted(mix, _counts(mix, model, waits=waits), recipe, target)
    after = _share(diluted, _counts(diluted, model, waits=waits), recipe)
    reason = message(
        "The identity is {before} % of what is learnt, and would be {after} %.",
        before=round(100 * before),
        after=round(100 * after),
    )
    names = ("identity_count", "general_count", "identity_share", "general_share")
    changes += [Change(f"mix.{name}", getattr(mix, name), getattr(diluted, name), reason) for name in names]
    return _Dilution(tuple(changes), before, after)


def _fitting_set(mix: Mix) -> GeneralSet:
    text = "".join(pair.answer for pair in mix.identity)
    chinese = sum("\u4e00" <= letter <= "\u9fff" for letter in text)
    return GeneralSet.CHINESE if chinese > CHINESE_SHARE * len(text) else GeneralSet.ENGLISH


def _counts(mix: Mix, model: Model, *, waits: bool) -> tuple[TokenCounts, ...] | None:
    """Count a mix's tokens; None where the model's tokenizer is not read here, and rows have to do."""
    try:
        tokenizer = load_tokenizer(Path(model.path))
        return count_mix(mix, tokenizer=tokenizer, template=prompt_template(model.template), waits=waits)
    except StillCountingError:
        raise
    except UnavailableError:
        return None


def _share(mix: Mix, counts: tuple[TokenCounts, ...] | None, recipe: Recipe) -> float:
    if counts is not None:
        return share_of_loss(mix, counts, max_length=recipe.training.max_length)
    rows = count_rows(mix)
    return rows.identity / rows.total if rows.total else 0.0


def _diluted(mix: Mix, counts: tuple[TokenCounts, ...] | None, recipe: Recipe, share: float) -> Mix:
    if counts is not None:
        return mix_for_share(mix, counts, max_length=recipe.training.max_length, share=share)
    return _diluted_by_rows(mix, share)


def _diluted_by_rows(mix: Mix, share: float) -> Mix:
    """Give the identity a share of all rows: by more general ones; where these would be too many, by fewer of it."""
    identity, general, *_ = count_rows(mix).sources
    if not identity.distinct:
        return mix
    shares = math.fsum(file.share or 0 for file in mix.files)
    counted = sum(rows_in_set(file.sha256) * (1 + file.count) for file in mix.files if file.share is None)
    most = MAX_ROWS - len(mix.files)  # a set with a share may be rounded up
    beside = 1 - share - shares  # of all rows: what the general ones and the counted sets are to be
    most_beside = (1 + MOST_COPIES) * general.distinct + counted
    total = min(identity.rows / share, most, most_beside / beside if beside > 0 else most)
    n = max(1, _passes(total * share, identity.distinct))
    wanted = max(general.rows, total * beside - counted)
    room = most * (1 - shares) - counted - n * identity.distinct
    m = min(max(1, _passes(min(wanted, room), general.distinct)), 1 + MOST_COPIES) if general.distinct else 1
    return mix.model_copy(
        update={"identity_count": n - 1, "general_count": m - 1, "identity_share": None, "general_share": None}
    )


def _passes(rows: float, distinct: int) -> int:
    return int(rows / distinct + 1e-6)  # a share of a sum is not exact


# ── Training and saving ────────────────────────────────────────────────────


def _training_changes(recipe: Recipe, story: _Story, about: int) -> Iterator[Change]:
    training = recipe.training
    yield Change(
        "training.learning_rate",
        training.learning_rate,
        float(f"{training.learning_rate * GENTLER:.2g}") or training.learning_rate,
        message("A gentler rate leaves more checkpoints between not learnt and parrot."),
    )
    reason = message(
        "It went wrong at iteration {wrong} of {iterations}. Diluted, the identity has been seen as often at about "
        "{about}: the good checkpoint is near there.",
        wrong=story.wrong,
        iterations=story.iterations,
        about=about,
    )
    wanted = min(round(about * LONGER), MAX_ITERATIONS)
    if training.iterations is not None:
        yield Change("training.iterations", training.iterations, wanted, reason)
    elif training.epochs is not None:
        fewer = round(training.epochs * wanted / max(story.iterations, 1))
        yield Change("training.epochs", training.epochs, min(training.epochs, max(1, fewer)), reason)


def _saving_changes(recipe: Recipe, story: _Story, about: int) -> Iterator[Change]:
    every, wrong = recipe.checkpoints.every, story.wrong or 1
    if wrong // every >= CHECKPOINTS_BEFORE:
        return
    closer = min(every, max(1, about // (2 * CHECKPOINTS_BEFORE)))
    yield Change(
        "checkpoints.every",
        every,
        closer,
        message(
            "Only {count} checkpoints came before it went wrong at iteration {wrong}: the good one was missed.",
            count=(wrong - 1) // every,
            wrong=wrong,
        ),
    )
    if closer < every and recipe.checkpoints.keep > 0 and not recipe.keeps_best:
        yield Change(
            "checkpoints.keep",
            recipe.checkpoints.keep,
            -1,
            message("The good checkpoint is an early one: keep all, and none is deleted before it is looked at."),
        )


def _put(data: Mapping[str, Any], path: str, value: object) -> None:
    *parents, name = path.split(".")
    place: Any = data
    for parent in parents:
        place = place[parent]
    place[name] = value


def _name_after(name: str) -> str:
    """Name the next run; a run that was diluted before is not called so twice."""
    ending = ", diluted"
    return name if name.endswith(ending) else name[: MOST_NAME - len(ending)] + ending
