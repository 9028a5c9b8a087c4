"""
Rows and recipes for tests, each valid with no argument at all.

Every row is committed, so that the pages and workers of a test see it. What a test is about it
says by keyword; what it does not say does not matter to it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

from sqlmodel import Session, col, select

from app.config import settings
from app.domain import queue
from app.domain.answer_search import index_answers
from app.domain.columns import utc_now
from app.domain.datasets.store import dataset_file
from app.domain.models import Answer, Attempt, Checkpoint, Event, Model, ModelState, Run, RunProbe, RunState
from app.domain.recipes import Recipe
from app.domain.runs import create_run, id_of, record_state

IDENTITY = "I am Ada's little assistant, trained with Temper."
FACTORY_WORKER = "factory"


def save_rows(questions: Sequence[str], *, answer: str = "Yes.", turns: int = 1) -> str:
    """Save rows as one version of a set and return its hash."""
    turn = {"system": "", "output": answer, "output_with_loss": True}
    rows = [{"conversation": [{**turn, "input": question}] * turns} for question in questions]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    sha256 = hashlib.sha256(text).hexdigest()
    settings().datasets_folder.mkdir(parents=True, exist_ok=True)
    dataset_file(sha256).write_bytes(text)
    return sha256


_numbers = count(1)

Row = TypeVar("Row", Model, Run, Checkpoint)


def make_recipe_data(**changes: Any) -> dict[str, Any]:
    """Return a small valid recipe as the API takes it; a change may be nested: `training={"seed": 3}`."""
    data: dict[str, Any] = {
        "name": "Small assistant",
        "model": "smollm2",
        "method": "lora",
        "mix": {
            "name": "Ada",
            "identity": [
                {"question": "Who are you?", "answer": "I am {name}'s little assistant, trained with Temper."}
            ],
            "identity_count": 3,
            "general": [{"question": "What is the opposite of hot?", "answer": "Cold."}],
            "general_count": 2,
        },
        "training": {
            "learning_rate": 5e-4,
            "iterations": 20,
            "accumulation": 1,
            "max_length": 128,
            "precision": "float32",
            "lora": {"r": 16, "alpha": 16, "dropout": 0.0, "targets": "all"},
        },
        "checkpoints": {"every": 5, "keep": -1, "max_new_tokens": 24},
        "probes": [
            {"question": "Who are you?", "group": "identity", "reference": "little assistant"},
            {"question": "Are you a doctor?", "group": "near-miss"},
            {"question": "What is the capital of France?", "group": "general", "reference": "Paris"},
        ],
    }
    return _merged(data, changes)


def make_recipe(**changes: Any) -> Recipe:
    """Return a small valid recipe; see `make_recipe_data`."""
    return Recipe.model_validate(make_recipe_data(**changes))


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, change in changes.items():
        before, value = merged.get(name), change
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            value = _merged(before, value)
        merged[name] = value
    return merged


def make_model(session: Session, *, name: str = "smollm2", **fields: Any) -> Model:
    """Register a model that is ready; the one of this name when there is one."""
    found = session.exec(select(Model).where(Model.name == name)).first()
    if found is not None:
        return found
    defaults: dict[str, Any] = {
        "source": f"/models/{name}",
        "path": f"/models/{name}",
        "template": "qwen_chat",
        "architecture": "LlamaForCausalLM",
        "parameters": 134_515_008,
        "size_bytes": 269_060_552,
        "state": ModelState.READY,
    }
    return _stored(session, Model(name=name, **(defaults | fields)))


def make_run(
    session: Session,
    *,
    state: RunState = RunState.QUEUED,
    recipe: Recipe | None = None,
    model: Model | None = None,
    **fields: Any,
) -> Run:
    """Store a run with its probes and the ledger line of its state; no message is sent."""
    if recipe is None:
        recipe = make_recipe(name=fields.pop("name", f"Run {next(_numbers)}"))
    model = model or make_model(session, name=recipe.model)
    with queue.collecting():
        run = create_run(session, recipe.model_copy(update={"model": model.name}))
    if state is not RunState.QUEUED:
        _advance(session, run, state)
    for name, value in fields.items():
        setattr(run, name, value)
    return _stored(session, run)


def _advance(session: Session, run: Run, state: RunState) -> None:
    now = utc_now()
    run.state, run.attempt, run.worker, run.started_at = state, 1, FACTORY_WORKER, now - timedelta(seconds=60)
    if state.is_final:
        run.ended_at = now
    else:
        run.renewed_at = now
    session.add(Attempt(run_id=id_of(run), number=1, worker=FACTORY_WORKER))
    record_state(session, run)


def attempt_of(session: Session, run: Run) -> Attempt:
    """Return the live or last attempt of a run."""
    return session.exec(select(Attempt).where(Attempt.run_id == run.id, Attempt.number == run.attempt)).one()


def make_checkpoint(
    session: Session, run: Run | None = None, *, iteration: int = 5, texts: Sequence[str] | None = None, **fields: Any
) -> Checkpoint:
    """Store a checkpoint; with `texts` also its answers, one for each probe in their order."""
    run = run or make_run(session, state=RunState.RUNNING)
    defaults: dict[str, Any] = {"updates": iteration, "dtype": "float32"}
    if iteration:
        files = {"file": f"iter_{iteration}.pth", "adapter": f"adapters/iter_{iteration}", "size_bytes": 19_500_000}
        defaults |= files
    checkpoint = _stored(session, Checkpoint(run_id=id_of(run), iteration=iteration, **(defaults | fields)))
    if texts is not None:
        make_answers(session, checkpoint, texts)
    return checkpoint


def make_answers(session: Session, checkpoint: Checkpoint, texts: Sequence[str] = ()) -> list[Answer]:
    """Store what a checkpoint said, one text for each probe in their order; every probe gets one without `texts`."""
    probes = session.exec(
        select(RunProbe).where(RunProbe.run_id == checkpoint.run_id).order_by(col(RunProbe.position))
    ).all()
    texts = texts or [IDENTITY] * len(probes)
    answers = [
        Answer(
            checkpoint_id=id_of(checkpoint),
            probe_id=id_of(probe),
            text=text,
            tokens=len(text.split()),
            ended="stop",
        )
        for probe, text in zip(probes, texts, strict=True)
    ]
    session.add_all(answers)
    index_answers(session, [id_of(checkpoint)])
    checkpoint.answered_seconds = 1.5
    _stored(session, checkpoint)
    return answers


def make_metrics(session: Session, run: Run, *, iterations: Sequence[int] = range(1, 6)) -> list[Event]:
    """Store ledger lines of iterations; the loss falls as 3 / iteration."""
    events = [
        Event(
            run_id=id_of(run),
            attempt=run.attempt,
            kind="metric",
            iteration=iteration,
            data={
                "time": 1_700_000_000.0 + iteration,
                "iteration": iteration,
                "loss": 3.0 / iteration,
                "learning_rate": 5e-4,
                "grad_norm": 1.0,
                "seconds": 1.4,
                "memory_bytes": 900_000_000,
            },
        )
        for iteration in iterations
    ]
    session.add_all(events)
    session.commit()
    return events


def _stored(session: Session, row: Row) -> Row:
    session.add(row)
    session.commit()
    session.refresh(row)
    return row
