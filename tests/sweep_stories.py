"""Whole sweeps with verdicts as a small model's runs have them: what the heat map is looked at with."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlmodel import Session

from app.domain import queue
from app.domain.columns import utc_now
from app.domain.models import Answer, Checkpoint, Run, RunState, StopCause, Sweep
from app.domain.recipes import Recipe
from app.domain.runs import id_of
from app.domain.sweep_plans import SweepPlan
from app.domain.sweeps import create_sweep, runs_of_sweep, sweep_id_of
from tests.factories import make_model
from tests.stories import STORY, story_recipe

STAGES = {"n": STORY[10], "g": STORY[20], "l": STORY[30], "p": STORY[50]}
"""Answers of a checkpoint that has not learnt, is good, leaks, or is a parrot."""
EVERY = 5
WHOLE = "SERIALIZABLE"  # both databases have it
SMALL = {"mix.identity_count": [24, 149], "mix.general_count": [0, 20, 79]}
SMALL_TOLD = ("nngl", "nnngggll", "nnnnnggg", "lpp", "gllpppp", "nngglllp")
"""The stages of each run of the small sweep, in the order in which they were planned."""


def make_sweep(
    session: Session,
    *,
    axes: Mapping[str, Sequence[Any]] = SMALL,
    name: str = "How much general dialogue does Ada need?",
    recipe: Recipe | None = None,
    **fields: Any,
) -> Sweep:
    """Store a sweep with its runs, all of them waiting; no message is sent."""
    recipe = recipe or story_recipe("ada")
    make_model(session, name=recipe.model)
    plan = SweepPlan.model_validate(
        {
            "name": name,
            "recipe": recipe,
            "axes": [{"setting": setting, "values": values} for setting, values in axes.items()],
            **fields,
        }
    )
    with whole(session) as work:
        sweep_id = create_sweep(work, plan).id
    return session.get_one(Sweep, sweep_id)


def tell(
    session: Session, run: Run, stages: str, *, state: RunState = RunState.FINISHED, cause: StopCause | None = None
) -> None:
    """Give a run a checkpoint for each letter, the base model first, and put it into a state."""
    now, told = utc_now(), [STORY[0], *(STAGES[letter] for letter in stages)]
    with whole(session) as work:
        probes = [id_of(probe) for probe in work.get_one(Run, run.id).probes]
        for number, texts in enumerate(told):
            iteration = number * EVERY
            file, adapter = (f"iter_{iteration}.pth", f"adapters/iter_{iteration}") if iteration else ("", "")
            facts = {"iteration": iteration, "updates": iteration // 2, "answered_seconds": 1}
            row = Checkpoint.model_validate({"run_id": id_of(run), "file": file, "adapter": adapter, **facts})
            work.add(row)
            work.flush()
            work.add_all(
                Answer(checkpoint_id=id_of(row), probe_id=probe, text=text, tokens=9, ended="stop")
                for probe, text in zip(probes, texts, strict=True)
            )
    session.expire(run)
    run.state, run.stopped_by = state, cause
    run.iteration, run.attempt, run.loss = len(stages) * EVERY, 1, 2.0 / (1 + len(stages))
    run.iterations = run.iterations or run.iteration
    run.started_at = now - timedelta(seconds=4 * run.iteration)
    run.ended_at = now if state.is_final else None
    session.add(run)
    session.commit()


@contextmanager
def whole(session: Session) -> Iterator[Session]:
    """Open a transaction beside a session that commits every statement: so many writes to the disk take long."""
    with queue.collecting(), Session(session.get_bind().execution_options(isolation_level=WHOLE)) as work:
        yield work
        work.commit()


def make_told_sweep(session: Session, **fields: Any) -> Sweep:
    """Store a sweep of six runs that have ended, with an island of good settings in the middle."""
    sweep = make_sweep(session, recipe=story_recipe("ada"), **fields)
    for run, stages in zip(runs_of_sweep(session, sweep_id_of(sweep)), SMALL_TOLD, strict=True):
        is_parrot = stages.endswith("p")
        state = RunState.CANCELLED if is_parrot else RunState.FINISHED
        tell(session, run, stages, state=state, cause=StopCause.PARROT if is_parrot else None)
    return sweep
