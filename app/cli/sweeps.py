"""Sweeps: start one from a recipe file and values, list them, look at one, stop one."""

from typing import Annotated, Any

import typer

from app.cli.listings import Listing, plain
from app.cli.output import AsJson, ago, connected, console, duration, fail, shown, size, write_json
from app.cli.recipe_files import RecipeFile, read_recipe, with_changes
from app.client_sweeps import SweepDetail, SweepForecast, SweepRun

LORA_R = "training.lora.r"
UNKNOWN = "unknown"

Values = Annotated[
    list[str],
    typer.Option("--set", metavar="PATH=VALUE,…", help="Vary a setting: mix.identity_count=24,150. One value sets it."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("sweep")(start_sweep)
    app.command("sweeps")(show_sweeps)


def start_sweep(  # noqa: PLR0913 - the options of the command
    recipe: RecipeFile,
    changes: Values = [],  # noqa: B006 - typer's own way of a repeated option
    *,
    name: Annotated[str, typer.Option(help="Name of the sweep; that of the recipe when left out.")] = "",
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Runs that may train at the same time.")] = 1,
    keep_strength: Annotated[
        bool, typer.Option("--keep-strength/--same-alpha", help="Where r varies, keep alpha / r.")
    ] = True,
    stop_parrots: Annotated[
        bool, typer.Option("--stop-parrots/--train-parrots", help="End a run at two parrots in a row.")
    ] = True,
    forecast: Annotated[bool, typer.Option("--forecast", help="Say what it would do, and start nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a sweep: a run for every combination of the values."""
    plan = _plan(read_recipe(recipe), changes, keeps_strength=keep_strength)
    plan |= {"name": name or plan["recipe"].get("name", ""), "at_once": at_once, "stops_parrots": stop_parrots}
    with connected() as client:
        if forecast:
            known = client.forecast_sweep(plan)
            write_json(known) if as_json else _tell_forecast(known)
        else:
            made = client.create_sweep(plan)
            write_json(made) if as_json else console().print(
                plain(f"Sweep {made['id']}, {made['name']}: {made['runs']} runs wait")
            )


def _plan(recipe: dict[str, Any], changes: list[str], *, keeps_strength: bool) -> dict[str, Any]:
    """Take settings with several values as what varies, and put the others into the recipe."""
    axes, plain_changes = [], []
    for change in changes:
        path, _, text = change.partition("=")
        values = _numbers(text)
        if len(values) > 1:
            axis = {"setting": path, "values": values}
            axes.append(axis | ({"keeps_strength": keeps_strength} if path == LORA_R else {}))
        else:
            plain_changes.append(change)
    if not axes:
        fail("Nothing varies: give --set PATH=VALUE,VALUE with two values or more.")
    return {"recipe": with_changes(recipe, plain_changes), "axes": axes}


def _numbers(text: str) -> list[float]:
    """Read numbers with commas between them; none where something else stands there."""
    try:
        return [float(part) if any(letter in part for letter in ".eEn") else int(part) for part in text.split(",")]
    except ValueError:
        return []


def _tell_forecast(known: SweepForecast) -> None:
    seconds, iterations = known["seconds"], known["iterations"]
    facts = {
        "runs": f"{len(known['runs'])}, {known['lanes']} at the same time",
        "iterations": UNKNOWN if iterations is None else f"{iterations:,} in all",
        "time": UNKNOWN if seconds is None else f"{duration(seconds)}, as {known['measured_on']}",
        "disk": UNKNOWN if known["disk_bytes"] is None else size(known["disk_bytes"]),
        "GPU memory": UNKNOWN if known["memory_bytes"] is None else size(known["memory_bytes"]),
    }
    console().print(shown(facts))
    for reason in known["unknown"]:
        console().print(plain(f"? {reason}"))


def show_sweeps(
    sweep_id: Annotated[int | None, typer.Argument(help="Look at this one.")] = None,
    *,
    stop: Annotated[bool, typer.Option("--stop", help="Stop what waits and what trains.")] = False,
    at_once: Annotated[int | None, typer.Option(min=1, max=64, help="Runs that may train at the same time.")] = None,
    as_json: AsJson = False,
) -> None:
    """List sweeps, or look at one of them and change it."""
    if sweep_id is None:
        if stop or at_once is not None:
            fail("Say which sweep: temper sweeps ID --stop.")
        _list(as_json=as_json)
        return
    with connected() as client:
        if at_once is not None:
            client.change_sweep(sweep_id, at_once=at_once)
        found = client.stop_sweep(sweep_id) if stop else client.sweep(sweep_id)
    if as_json:
        write_json(found)
    else:
        _tell(found)


def _list(*, as_json: bool) -> None:
    with connected() as client:
        found = client.sweeps()
    if as_json:
        write_json(found)
        return
    made = Listing("id", "name", "varies", "runs", "created", numbers=("id",))
    for sweep in found["sweeps"]:
        varies = "; ".join(f"{axis['setting']} {_joined(axis['values'])}" for axis in sweep["axes"])
        made.add(sweep["id"], sweep["name"], varies, _states(sweep["by_state"]), ago(sweep["created_at"]))
    console().print(made)


def _tell(sweep: SweepDetail) -> None:
    best = sweep["recommendation"]
    where = f"run {best['run_id']} at iteration {best['iteration']}" if best["run_id"] else "nothing"
    facts = {
        "name": sweep["name"],
        "runs": f"{_states(sweep['by_state'])}; {sweep['at_once']} at once",
        "keep": f"{where}: {best['reason']}",
    }
    console().print(shown(facts))
    names = [axis["setting"] for axis in sweep["axes"]]
    numbers = ("run", *names, "learnt", "leak", "good", "keep", "loss")
    made = Listing("run", *names, "state", "learnt", "leak", "good", "keep", "loss", numbers=numbers)
    for run in sweep["run_results"]:
        made.add(*_cells(run, names))
    console().print(made)


def _cells(run: SweepRun, names: list[str]) -> list[object]:
    values = [f"{run['values'][name]:g}" for name in names]
    state = f"stopped: parrot at {run['iteration']}" if run["stopped_by"] == "parrot" else run["state"]
    told = [run["first_learnt"], run["first_leak"], run["good_in_a_row"] or None, run["keep"]]
    loss = "" if run["loss"] is None else f"{run['loss']:.3f}"
    return [run["id"], *values, state, *("" if each is None else each for each in told), loss]


def _states(by_state: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in by_state.items())


def _joined(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
