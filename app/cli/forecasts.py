"""What a recipe will do, before it is run."""

import typer

from app.cli.listings import Listing, plain
from app.cli.output import AsJson, connected, console, duration, shown, size, write_json
from app.cli.recipe_files import RecipeFile, Settings, read_recipe, with_changes
from app.client_types import Forecast

UNKNOWN = "unknown"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("forecast")(forecast)


def forecast(
    recipe: RecipeFile,
    changes: Settings = [],  # noqa: B006 - typer's own way of a repeated option
    *,
    as_json: AsJson = False,
) -> None:
    """Say what a recipe will do: packs, iterations, tokens, checkpoints, disk, memory and time."""
    with connected() as client:
        found = client.forecast(with_changes(read_recipe(recipe), changes))
    if as_json:
        write_json(found)
        return
    console().print(shown(_facts(found)))
    if found["tokens"]:
        console().print(_sources(found))
    for warning in found["warnings"]:
        console().print(plain(f"! {warning}"))
    for reason in found["unknown"]:
        console().print(plain(f"? {reason}"))


def _facts(found: Forecast) -> dict[str, str]:
    facts = {
        "rows": _number(found["rows"]),
        "packs": _number(found["packs"]),
        "iterations": f"{_number(found['iterations'])}, {_number(found['updates'])} updates",
        "epochs": UNKNOWN if found["epochs"] is None else f"{found['epochs']:.2f}",
        "checkpoints": _number(found["saves"]),
        "answers": _number(found["answers"]),
        "disk": f"{_size(found['disk_bytes'])}, {_size(found['peak_bytes'])} at most",
        "training": _seconds(found["training_seconds"], found["measured_on"]),
        "answering": _seconds(found["answering_seconds"], found["measured_on"]),
    }
    if found["memory"]:
        facts["GPU memory"] = ", ".join(f"{method} {size(count)}" for method, count in found["memory"].items())
    if found["tokens"]:
        tokens = found["tokens"]
        facts["tokens"] = (
            f"{tokens['tokens']:,} in an epoch, {tokens['loss_tokens']:,} learnt, {tokens['dropped_tokens']:,} dropped"
        )
    return facts


def _sources(found: Forecast) -> Listing:
    made = Listing("source", "rows", "tokens", "learnt", "share", numbers=("rows", "tokens", "learnt", "share"))
    for source in found["tokens"]["sources"] if found["tokens"] else ():
        if source["rows"]:
            numbers = (f"{source[name]:,}" for name in ("rows", "tokens", "loss_tokens"))
            made.add(source["title"] or source["key"], *numbers, f"{source['loss_share']:.1%}")
    return made


def _number(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def _size(value: int | None) -> str:
    return UNKNOWN if value is None else size(value)


def _seconds(value: float | None, measured_on: str) -> str:
    return UNKNOWN if value is None else f"{duration(value)}, as {measured_on}"
