"""
Stopping a run by what its checkpoints answer: at the sweet spot, or because it has become a parrot.

The rules are pure functions over verdicts. They look at the checkpoints that have answered, in the order
of their iterations, and hold wherever enough of them in a row are alike: however late the answers
are stored, and in how many pieces, the same run is stopped for the same reason. What was answered
before a person let a stopped run go on does not count again.
"""

from collections.abc import Callable, Collection, Sequence

from sqlalchemy.orm import selectinload
from sqlmodel import Session, col, select

from app.domain.messages import Message, message
from app.domain.models import Checkpoint, Event, Run, RunState, StopCause, Sweep
from app.domain.recipes import Recipe, Stopping
from app.domain.runs import id_of, recipe_of
from app.domain.stop_requests import ask_to_stop
from app.domain.thresholds import read_thresholds
from app.domain.verdicts import CheckpointScore, CheckpointVerdict, Verdict, judge_checkpoints

PARROTS = 2  # in a row: with few probes one verdict may be chance, and a second costs one more save
STOPPED = "stop"
"""Kind of the ledger's line that says why a run is stopped."""


def sweet_spot(rule: Stopping, judged: Sequence[CheckpointVerdict]) -> tuple[int, ...]:
    """
    Return the iterations of the first checkpoints in a row that are as the rule wants them; none where there are none.

    Args:
        judged: by iteration; the base model and those without answers are passed over.
    """
    return _first_in_a_row(judged, rule.checkpoints, lambda score: _is_sweet(rule, score))


def _is_sweet(rule: Stopping, score: CheckpointScore) -> bool:
    is_blind = not score.identity_total or not score.leak_total  # nothing tells the one or the other
    if is_blind or score.verdict is Verdict.PARROT:  # who forgot what the base model knew is none
        return False
    return score.identity_hits >= rule.identity * score.identity_total and score.leaks <= rule.leak * score.leak_total


def parrots(judged: Sequence[CheckpointVerdict]) -> tuple[int, ...]:
    """Return the iterations of the first `PARROTS` checkpoints in a row that are parrots; none where there are none."""
    return _first_in_a_row(judged, PARROTS, lambda score: score.verdict is Verdict.PARROT)


def _first_in_a_row(
    judged: Sequence[CheckpointVerdict], count: int, fits: Callable[[CheckpointScore], bool]
) -> tuple[int, ...]:
    row: tuple[int, ...] = ()
    for each in judged:
        if each.iteration == 0 or not each.score.answered:
            continue
        row = (*row, each.iteration) if fits(each.score) else ()
        if len(row) == count:
            return row
    return ()


# ── Stopping ───────────────────────────────────────────────────────────────


def stop_where_told(session: Session, run: Run, *, answered: Collection[int]) -> None:
    """
    Stop a run whose recipe or sweep says so, once checkpoints have answered.

    Whoever asks first is the cause: a stop that a person asked for stays that person's.

    Args:
        answered: iterations whose answers were stored just now.
    """
    if not answered:
        return
    recipe, stops_parrots = recipe_of(run), _stops_parrots(session, run)
    if not (recipe.stopping.at_sweet_spot or stops_parrots):
        return
    judged = _judge_newest(session, run, recipe, answered)
    found = sweet_spot(recipe.stopping, judged) if recipe.stopping.at_sweet_spot else ()
    cause = StopCause.SWEET_SPOT if found else StopCause.PARROT
    found = found or (parrots(judged) if stops_parrots else ())
    if not found or found[-1] >= run.iterations:  # at its last checkpoint it ends by itself
        return
    if ask_to_stop(session, id_of(run), cause=cause):
        data = {"cause": cause, "iterations": list(found)}
        session.add(Event(run_id=id_of(run), attempt=run.attempt, kind=STOPPED, iteration=found[-1], data=data))


def _stops_parrots(session: Session, run: Run) -> bool:
    sweep = session.get(Sweep, run.sweep_id) if run.sweep_id is not None else None
    return sweep is not None and sweep.stops_parrots


def _judge_newest(session: Session, run: Run, recipe: Recipe, answered: Collection[int]) -> Sequence[CheckpointVerdict]:
    """Judge what has just answered, and as many before as a rule may want in a row."""
    count = max(recipe.stopping.checkpoints, PARROTS) - 1 + len(answered)
    given = (Checkpoint.run_id == run.id, col(Checkpoint.answered_seconds).is_not(None))
    iterations = (
        select(Checkpoint.iteration)
        .where(*given, col(Checkpoint.iteration).between(1, max(answered)))
        .order_by(col(Checkpoint.iteration).desc())
        .limit(count)
    )
    since = _answered_since_stopped(session, run)
    counted = [at for at in session.exec(iterations) if since is None or at in since]
    rows = session.exec(
        select(Checkpoint)
        .where(*given, col(Checkpoint.iteration).in_([0, *counted]))
        .order_by(col(Checkpoint.iteration))
        .options(selectinload(Checkpoint.answers))  # type: ignore[arg-type]
        .execution_options(populate_existing=True)
    ).all()
    return judge_checkpoints(recipe, run.probes, rows, thresholds=read_thresholds(session))


def _answered_since_stopped(session: Session, run: Run) -> set[int] | None:
    """Return the iterations that were answered since the run was last stopped; None where it never was."""
    told = select(Event).where(Event.run_id == run.id, Event.kind == "state").order_by(col(Event.id).desc())
    stopped = next((each for each in session.exec(told) if each.data["state"] == RunState.CANCELLED), None)
    if stopped is None or stopped.id is None:
        return None
    after = (Event.run_id == run.id, Event.kind == "answers", col(Event.id) > stopped.id)
    return set(session.exec(select(Event.iteration).where(*after)))


# ── In words ───────────────────────────────────────────────────────────────


def iterations_of_stop(session: Session, run: Run) -> tuple[int, ...]:
    """Return the iterations for which a rule stopped a run; none where no rule did."""
    if run.stopped_by in {None, StopCause.PERSON}:
        return ()
    told = select(Event.data).where(Event.run_id == run.id, Event.kind == STOPPED).order_by(col(Event.id).desc())
    data = session.exec(told).first()
    return tuple(data["iterations"]) if data else ()


def stop_reason(
    cause: StopCause | None, iterations: Sequence[int], judged: Sequence[CheckpointVerdict]
) -> Message | None:
    """Say why a rule stopped a run; None where none did."""
    if cause in {None, StopCause.PERSON}:
        return None
    if not iterations:
        return message("Its rule was met.") if cause is StopCause.SWEET_SPOT else _PARROT
    values: dict[str, object] = {"first": iterations[0], "last": iterations[-1], "count": len(iterations)}
    if cause is StopCause.PARROT:
        return message("Its sweep stops parrots, and it was one at iterations {first} and {last}.", **values)
    score = next((each.score for each in judged if each.iteration == iterations[-1]), CheckpointScore())
    values |= {"hits": score.identity_hits, "asked": score.identity_total}
    values |= {"leaks": score.leaks, "open": score.leak_total}
    if len(iterations) == 1:
        return message("Identity {hits}/{asked}, leak {leaks}/{open} at iteration {first}.", **values)
    if len(iterations) == 2:  # noqa: PLR2004 - the two are named
        return message("Identity {hits}/{asked}, leak {leaks}/{open} at iterations {first} and {last}.", **values)
    return message(
        "Identity {hits}/{asked}, leak {leaks}/{open} at {count} checkpoints in a row, from iteration {first} to "
        "{last}.",
        **values,
    )


_PARROT = message("Its sweep stops parrots.")
