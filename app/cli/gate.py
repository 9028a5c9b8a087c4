"""
Waiting for a run, and what its end means to a pipeline: exit codes that are part of the command's promise.

A run reaches the verdict of the checkpoint to keep, which is good; where there is none to keep, `leaking` if
any checkpoint leaks and is no parrot. A parrot, and one that has not learnt, reach nothing that could be required.
"""

import sys
from collections.abc import Sequence
from enum import IntEnum, StrEnum
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from app.cli.listings import plain
from app.cli.output import console, progress_words
from app.client import FINAL_STATES, TemperClient
from app.client_types import Checkpoint, Run


class Exit(IntEnum):
    """How the command ends; 1 is a refusal, 2 a mistake in what was typed."""

    FAILED = 3
    """The run failed."""
    STOPPED = 4
    """The run was stopped before its end."""
    BELOW = 5
    """No checkpoint has the verdict that was required."""
    INTERRUPTED = 130
    """Ctrl-C: the run goes on."""


class Required(StrEnum):
    """The least verdict that a pipeline takes."""

    GOOD = "good"
    LEAKING = "leaking"


_RANKS = {"good": 2, "leaking": 1}


def wait_for(client: TemperClient, run_id: int, *, as_json: bool) -> Run:
    """Wait for a run's end: a bar on a terminal, else a line for each change; with JSON standard output stays empty."""
    try:
        if sys.stderr.isatty():
            return _wait_with_bar(client, run_id)
        said: list[str] = []

        def say(run: Run) -> None:
            words = progress_words(run)
            if not as_json and said[-1:] != [words]:
                said.append(words)
                console().print(plain(f"Run {run_id}: {words}"))

        return client.wait(run_id, on_change=say)
    except KeyboardInterrupt:
        text = f"Run {run_id} goes on. `temper wait {run_id}` follows it again, `temper stop {run_id}` ends it."
        typer.echo(text, err=True)
        raise typer.Exit(Exit.INTERRUPTED) from None


def _wait_with_bar(client: TemperClient, run_id: int) -> Run:
    columns = (TextColumn("Run {task.fields[run]}"), BarColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True, highlight=False), transient=True) as bar:
        task = bar.add_task("", total=None, run=run_id)

        def show(run: Run) -> None:
            words = plain(progress_words(run)).plain
            bar.update(task, completed=run["iteration"], total=run["iterations"] or None, description=words)

        return client.wait(run_id, on_change=show)


# ── What its end means ─────────────────────────────────────────────────────


def outcome_facts(run: Run, checkpoints: Sequence[Checkpoint], required: Required | None) -> dict[str, Any]:
    """Return what a run has come to, for programs; the keys stay."""
    best = best_checkpoint(checkpoints)
    return {
        "verdict": best["score"]["verdict"] if best else None,
        "checkpoint_id": best["id"] if best else None,
        "iteration": best["iteration"] if best else None,
        "required": required.value if required else None,
        "is_reached": is_reached(best, required),
        "exit_code": exit_code(run, best, required),
    }


def best_checkpoint(checkpoints: Sequence[Checkpoint]) -> Checkpoint | None:
    """Return the checkpoint to keep; where there is none, the first of those with the best verdict."""
    tuned = [each for each in checkpoints if each["iteration"] and each["score"]["verdict"]]
    kept = next((each for each in tuned if each["is_kept"]), None)
    return kept or max(tuned, key=lambda each: _RANKS.get(each["score"]["verdict"] or "", 0), default=None)


def is_reached(best: Checkpoint | None, required: Required | None) -> bool:
    """Whether a run's best checkpoint has the verdict that is required, or a better one."""
    if required is None:
        return True
    return best is not None and _RANKS.get(best["score"]["verdict"] or "", 0) >= _RANKS[required]


def exit_code(run: Run, best: Checkpoint | None, required: Required | None) -> int:
    """Return what the command ends with once a run was waited for."""
    if run["state"] not in FINAL_STATES:
        return 0
    if run["state"] == "failed":
        return Exit.FAILED
    if run["state"] == "cancelled":
        return Exit.STOPPED
    return 0 if is_reached(best, required) else Exit.BELOW


def complaint(run: Run, facts: dict[str, Any]) -> str:
    """Say why the command does not end with 0; empty where it does."""
    if facts["exit_code"] == Exit.FAILED:
        return f"Run {run['id']} failed."
    if facts["exit_code"] == Exit.STOPPED:
        return f"Run {run['id']} was stopped."
    if facts["exit_code"] != Exit.BELOW:
        return ""
    has = f"its best is {facts['verdict']}" if facts["verdict"] else "none has a verdict"
    return f"Run {run['id']} has no checkpoint that is {facts['required']}: {has}."
