"""
What a sweep has shown: each run in a few numbers, and which checkpoint of all of them to keep.

The best run is the one with the best window of good checkpoints, by the same measure as within a run:
one that forgot less goes before a wider one. Sees the verdicts only, and compares no answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from app.domain.advice import Advice, advise, best_window, width_of
from app.domain.columns import utc_now
from app.domain.messages import Message, message
from app.domain.mix_rows import RowCounts
from app.domain.mixes import count_rows
from app.domain.models import Checkpoint, Run, RunState, StopCause, Sweep
from app.domain.recipes import Recipe
from app.domain.runs import id_of, recipe_of
from app.domain.stored_scores import scores_of
from app.domain.sweep_forecasts import seconds_in_lanes
from app.domain.sweep_plans import SweepSetting, Value
from app.domain.sweeps import plan_of, runs_of_sweep, sweep_id_of
from app.domain.thresholds import Thresholds, read_thresholds
from app.domain.verdicts import CheckpointVerdict, Verdict, is_learnt


@dataclass(frozen=True)
class RunResult:
    """One run of a sweep, in a few numbers."""

    run: Run
    recipe: Recipe
    values: Mapping[SweepSetting, Value]
    """Of the settings that vary."""
    rows: RowCounts
    judged: Sequence[CheckpointVerdict]
    """By iteration, the base model's first."""
    advice: Advice
    window: Sequence[CheckpointVerdict]
    """Its best good checkpoints in a row; empty where there are none."""
    first_learnt: int | None
    """The first iteration at which the identity is known."""
    gone: frozenset[int]
    """Iterations whose files are deleted."""

    @property
    def tuned(self) -> Sequence[CheckpointVerdict]:
        """The checkpoints that have a verdict, without the base model."""
        return [each for each in self.judged if each.iteration > 0 and each.score.verdict is not None]

    @property
    def base_id(self) -> int | None:
        """The checkpoint that stands for the untuned model."""
        return next((each.checkpoint_id for each in self.judged if each.iteration == 0), None)

    @property
    def first_leak(self) -> int | None:
        """The first iteration at which something taught came where it was not asked for."""
        return self.advice.first_leak

    @property
    def stopped_at(self) -> int:
        """The iteration at which it stands: where a rule stopped it, that of the checkpoint that met the rule."""
        is_by_rule = self.run.stopped_by not in {None, StopCause.PERSON}
        return self.tuned[-1].iteration if is_by_rule and self.tuned else self.run.iteration

    @property
    def ratio(self) -> float:
        """Other rows for each row of the identity; infinite without one."""
        others = self.rows.general + self.rows.files
        return others / self.rows.identity if self.rows.identity else float("inf")

    @property
    def seconds(self) -> float | None:
        """How long it has taken, waiting left out; None before it starts."""
        if self.run.started_at is None:
            return None
        return ((self.run.ended_at or utc_now()) - self.run.started_at).total_seconds()


@dataclass(frozen=True)
class SweepResults:
    """All runs of a sweep, and what to keep of them."""

    sweep: Sweep
    runs: Sequence[RunResult]
    """As they were planned."""
    best: RunResult | None
    """The run to keep a checkpoint of; its advice says which."""
    reason: Message

    def seconds_left(self, lanes: int) -> float | None:
        """Estimate the time until the last run ends, at the pace of those that have finished; None without one."""
        done = [each for each in self.runs if each.run.state is RunState.FINISHED and each.run.iteration]
        live = [each for each in self.runs if not each.run.state.is_final]
        if not done or not live:
            return None
        pace = sum(each.seconds or 0.0 for each in done) / sum(each.run.iteration for each in done)
        usual = sum(each.run.iteration for each in done) / len(done)
        times = [max(0.0, pace * (each.run.iterations or usual) - (each.seconds or 0.0)) for each in live]
        return seconds_in_lanes(times, max(1, min(lanes, len(times))))


def results_of(session: Session, sweep: Sweep) -> SweepResults:
    """Read what a sweep has shown so far."""
    runs = runs_of_sweep(session, sweep_id_of(sweep))
    varied = [axis.setting for axis in plan_of(sweep).axes]
    scores, limits = scores_of(session, runs), read_thresholds(session)
    gone = _gone(session, runs)
    results = [_result(run, scores[id_of(run)], varied, limits=limits, gone=gone[id_of(run)]) for run in runs]
    best = _best(results)
    return SweepResults(sweep, results, best, _why(best, results) if best else _why_none(results))


def _gone(session: Session, runs: Sequence[Run]) -> dict[int, frozenset[int]]:
    """Return the iterations of each run whose files are deleted."""
    ids = [id_of(run) for run in runs]
    deleted = select(Checkpoint.run_id, Checkpoint.iteration).where(
        col(Checkpoint.run_id).in_(ids), col(Checkpoint.deleted_at).is_not(None)
    )
    found: dict[int, set[int]] = {run_id: set() for run_id in ids}
    for run_id, iteration in session.exec(deleted):
        found[run_id].add(iteration)
    return {run_id: frozenset(iterations) for run_id, iterations in found.items()}


def _result(
    run: Run,
    judged: Sequence[CheckpointVerdict],
    varied: Sequence[SweepSetting],
    *,
    limits: Thresholds,
    gone: frozenset[int],
) -> RunResult:
    recipe = recipe_of(run)
    tuned = [each for each in judged if each.iteration > 0]
    return RunResult(
        run=run,
        recipe=recipe,
        values={name: value_in(recipe, name) for name in varied},
        rows=count_rows(recipe.mix),
        judged=judged,
        advice=advise(judged, gone=gone),
        window=best_window(tuned, gone),
        first_learnt=next((each.iteration for each in tuned if is_learnt(each.score, limits)), None),
        gone=gone,
    )


def value_in(recipe: Recipe, name: SweepSetting) -> Value:
    """Return a recipe's value of a setting that a sweep varies."""
    found: object = recipe
    for part in name.split("."):
        found = getattr(found, part)
    if not isinstance(found, int | float):
        raise TypeError(f"{name} of “{recipe.name}” holds {found!r}, no value of a sweep")
    return found


# ── What to keep ───────────────────────────────────────────────────────────


def _best(results: Sequence[RunResult]) -> RunResult | None:
    """Return the run with the best window; of equals the one that gets to its checkpoint first."""
    good = [each for each in results if each.window]
    return max(good, key=lambda each: (width_of(each.window, each.gone), -(each.advice.iteration or 0)), default=None)


def _why(best: RunResult, results: Sequence[RunResult]) -> Message:
    window, kept = best.window, best.advice.iteration
    score = next(each.score for each in window if each.iteration == kept)
    values = {"count": len(window), "first": window[0].iteration, "last": window[-1].iteration}
    if score.forgotten:
        return message(
            "Good from iteration {first} to {last}; forgot {forgotten} of {known} answers that the base model had "
            "right, and no other run's good checkpoints forgot fewer.",
            **values,
            forgotten=score.forgotten,
            known=score.known,
        )
    if len(window) == 1:
        return message("Good at this one checkpoint, and no run is good at two in a row: the window is narrow.")
    is_alone = all(each is best or len(each.window) < len(window) for each in results)
    if is_alone:
        return message(
            "Good at {count} checkpoints in a row, from iteration {first} to {last}: the widest good window of the "
            "sweep.",
            **values,
        )
    return message(
        "Good at {count} checkpoints in a row, from iteration {first} to {last}; of the runs with a window as wide it "
        "gets there first.",
        **values,
    )


def _why_none(results: Sequence[RunResult]) -> Message:
    judged = [each for each in results if each.tuned]
    if not judged:
        return message("No checkpoint has a verdict yet.")
    learnt = [each for each in judged if each.first_learnt is not None]
    spoilt = [each for each in judged if any(_is_spoilt(one) for one in each.tuned)]
    if not learnt and not spoilt:
        return message("No run learns the identity: try more identity copies, a higher learning rate, or longer runs.")
    if len(spoilt) == len(judged):
        return message(
            "Every run leaks or forgets before it is good: try more general copies, a lower learning rate, or "
            "checkpoints closer together."
        )
    return message(
        "Some runs never learn the identity, the others leak or forget as soon as they do: try values in between, or "
        "checkpoints closer together."
    )


def _is_spoilt(each: CheckpointVerdict) -> bool:
    return each.score.verdict in {Verdict.LEAKING, Verdict.PARROT}
