"""Runs: start one from a recipe file, list them, look at one, stop one."""

import json
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.listings import Listing, plain
from app.cli.outcomes import outcome_of
from app.cli.output import AsJson, ago, connected, console, fail, progress_words, shown, size, write_json
from app.client import TemperClient
from app.client_types import Checkpoint, Run
from app.domain.card_files import recipe_in_card

Settings = Annotated[
    list[str], typer.Option("--set", metavar="PATH=VALUE", help="Change one setting, such as mix.general_count=50.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run")(start_run)
    app.command("runs")(list_runs)
    app.command("show")(show_run)
    app.command("stop")(stop_run)
    app.command("resume")(resume_run)
    app.command("move")(move_run)


def start_run(
    recipe: Annotated[Path, typer.Argument(help="A recipe in JSON or TOML, or a recipe card; - reads standard input.")],
    changes: Settings = [],  # noqa: B006 - typer's own way of a repeated option
    *,
    after: Annotated[int | None, typer.Option(help="Start when this run has ended.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the run ends; exit 1 unless it finishes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a run."""
    wanted = with_changes(read_recipe(recipe), changes)
    with connected() as client:
        run = client.create_run(wanted, after=after)
        if wait:
            run = client.wait(run["id"], on_change=_say_once if not as_json else lambda _: None)
        if as_json:
            write_json(run)
        else:
            _show_end(client, run)
    if wait and run["state"] != "finished":
        raise typer.Exit(1)


def _show_end(client: TemperClient, run: Run) -> None:
    console().print(plain(f"Run {run['id']}, {run['name']}: {progress_words(run)}"))
    if run["reason"]:
        console().print(plain(run["reason"]["message"]))
    for line in outcome_of(client, run):
        console().print(plain(line))


def read_recipe(path: Path) -> dict[str, Any]:
    """Read a recipe file, by the end of its name, or a recipe card; what is neither ends the command."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
        is_card = text.lstrip()[:1] == "<"
        read: Any = (
            recipe_in_card(text) if is_card else tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        )
    except (OSError, ValueError) as error:
        fail(f"{path} cannot be read: {error}")
    if not isinstance(read, dict):
        fail(f"{path} holds no recipe: an object with named settings is needed.")
    return read


def with_changes(recipe: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    """Put the `PATH=VALUE` changes of a command line into a recipe."""
    for change in changes:
        path, equals, value = change.partition("=")
        if not equals:
            fail(f"--set {change}: write it as PATH=VALUE.")
        *parents, name = path.split(".")
        place = recipe
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                fail(f"--set {change}: {parent} holds a value, not settings.")
        place[name] = _value(value)
    return recipe


def _value(text: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(text)
    except ValueError:
        return text


_said: dict[int, str] = {}


def _say_once(run: Run) -> None:
    """Say where a run is, unless that was the last thing said."""
    words = progress_words(run)
    if _said.get(run["id"]) != words:
        _said[run["id"]] = words
        console().print(plain(f"Run {run['id']}: {words}"))


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
