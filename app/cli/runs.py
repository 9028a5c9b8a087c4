"""Runs: start one from a recipe file, list them, look at one, stop one."""

from typing import Annotated

import typer

from app.cli.gate import Required, complaint, outcome_facts, wait_for
from app.cli.listings import Listing, plain
from app.cli.outcomes import outcome_of
from app.cli.output import AsJson, ago, connected, console, progress_words, shown, size, write_json
from app.cli.recipe_files import RecipeFile, Settings, read_recipe, with_changes
from app.client import TemperClient
from app.client_types import Checkpoint, Run

RequireOption = Annotated[
    Required | None,
    typer.Option("--require", help="Wait, and exit 5 unless a checkpoint is as good as this, or better."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run")(start_run)
    app.command("wait")(wait_for_run)
    app.command("runs")(list_runs)
    app.command("show")(show_run)
    app.command("stop")(stop_run)
    app.command("resume")(resume_run)
    app.command("move")(move_run)


def start_run(
    recipe: RecipeFile,
    changes: Settings = [],  # noqa: B006 - typer's own way of a repeated option
    *,
    after: Annotated[int | None, typer.Option(help="Start when this run has ended.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end: exit 3 if it fails, 4 if stopped.")] = False,
    require: RequireOption = None,
    as_json: AsJson = False,
) -> None:
    """Start a run."""
    wanted = with_changes(read_recipe(recipe), changes)
    with connected() as client:
        run = client.create_run(wanted, after=after)
        if wait or require:
            _follow(client, run, require, as_json=as_json)
        elif as_json:
            write_json(run)
        else:
            _show_end(client, run)


def wait_for_run(run_id: int, *, require: RequireOption = None, as_json: AsJson = False) -> None:
    """Wait for the end of a run that was started before: exit 3 if it fails, 4 if it is stopped."""
    with connected() as client:
        _follow(client, client.run(run_id), require, as_json=as_json)


def _follow(client: TemperClient, run: Run, required: Required | None, *, as_json: bool) -> None:
    if not as_json:
        typer.echo(f"Run {run['id']} waits: {client.url}/runs/{run['id']}", err=True)
    run = wait_for(client, run["id"], as_json=as_json)
    outcome = outcome_facts(run, client.checkpoints(run["id"]), required)
    if as_json:
        write_json({**run, "outcome": outcome})
    else:
        _show_end(client, run)
    if outcome["exit_code"]:
        typer.echo(f"Error: {complaint(run, outcome)}", err=True)
        raise typer.Exit(outcome["exit_code"])


def _show_end(client: TemperClient, run: Run) -> None:
    console().print(plain(f"Run {run['id']}, {run['name']}: {progress_words(run)}"))
    if run["reason"]:
        console().print(plain(run["reason"]["message"]))
    for line in outcome_of(client, run):
        console().print(plain(line))


def list_runs(
    query: Annotated[str, typer.Argument(help="Words in the name, the model or an answer.")] = "",
    state: Annotated[str, typer.Option(help="queued, running, finished, failed or cancelled.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=200)] = 25,
    *,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    with connected() as client:
        found = client.runs(query=query, state=state or None, limit=limit)
    if as_json:
        write_json(found)
        return
    made = Listing("id", "name", "model", "state", "progress", "started", numbers=("id",))
    for run in found["runs"]:
        made.add(run["id"], run["name"], run["model"], run["state"], progress_words(run), ago(run["started_at"]))
    console().print(made)
    if found["total"] > len(found["runs"]):
        console().print(f"{len(found['runs'])} of {found['total']}")


def show_run(run_id: int, *, as_json: AsJson = False) -> None:
    """Look at a run: where it is, its checkpoints and their verdicts."""
    with connected() as client:
        run, checkpoints = client.run(run_id), client.checkpoints(run_id)
        outcome = [] if as_json else list(outcome_of(client, run))
    if as_json:
        write_json({**run, "checkpoints": checkpoints})
        return
    facts = {
        "name": run["name"],
        "model": run["model"],
        "state": progress_words(run),
        "started": ago(run["started_at"]),
    }
    if run["reason"]:
        facts |= {"reason": run["reason"]["message"], "log": run["log_tail"]}
    console().print(shown(facts))
    console().print(checkpoint_table(checkpoints))
    for line in outcome:
        console().print(plain(line))


def checkpoint_table(checkpoints: list[Checkpoint]) -> Listing:
    """Return a run's checkpoints with their verdicts."""
    numbers = ("id", "identity", "right", "leaks", "size")
    made = Listing("id", "iteration", "verdict", "identity", "right", "leaks", "size", numbers=numbers)
    for each in checkpoints:
        score = each["score"]
        made.add(
            each["id"],
            "base model" if each["iteration"] == 0 else each["iteration"],
            (score["verdict"] or "") + (" ★ keep" if each["is_kept"] else ""),
            f"{score['identity_hits']}/{score['identity_total']}",
            f"{score['right']}/{score['right_total']}",
            f"{score['leaks']}/{score['leak_total']}",
            "deleted" if each["is_deleted"] else size(each["size_bytes"]) if each["size_bytes"] else "",
        )
    return made


def stop_run(
    run_id: int,
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Save a checkpoint and answer it first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop a run."""
    with connected() as client:
        _show_change(client.stop(run_id, keep=keep), as_json=as_json)


def resume_run(run_id: int, *, as_json: AsJson = False) -> None:
    """Let a run that failed or was stopped go on from its newest whole checkpoint."""
    with connected() as client:
        _show_change(client.resume(run_id), as_json=as_json)


def move_run(
    run_id: int,
    place: Annotated[int, typer.Argument(min=1, help="Counted from 1.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Give a waiting run another place in the queue."""
    with connected() as client:
        _show_change(client.move(run_id, place), as_json=as_json)


def _show_change(run: Run, *, as_json: bool) -> None:
    if as_json:
        write_json(run)
        return
    place = f", number {run['place']} in the queue" if run["place"] else ""
    words = "is stopping" if run["is_stopping"] else f"is {run['state']}{place}"
    console().print(f"Run {run['id']} {words}.")
