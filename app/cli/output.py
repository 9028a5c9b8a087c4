"""What every command shares: the connection, `--json`, tables, and how a failure is told."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from app.cli.listings import plain
from app.client import TemperClient
from app.client_types import Run
from app.config import settings

if TYPE_CHECKING:
    from pathlib import Path

WIDTH_WITHOUT_TERMINAL = 100_000  # characters: what reads a pipe wants lines whole
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON instead of text for people.")]

MINUTE, HOUR = 60, 3_600


def console(*, width_elsewhere: int = WIDTH_WITHOUT_TERMINAL) -> Console:
    """
    Return the console of standard output as it is now.

    Args:
        width_elsewhere: where it is no terminal.
    """
    return Console(width=None if sys.stdout.isatty() else width_elsewhere, highlight=False, soft_wrap=False)


def write_json(value: object) -> None:
    """Write one JSON document and a line end."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def connected() -> TemperClient:
    """Connect to the server of the settings."""
    return TemperClient(_address(), _token())


def fail(text: str, fields: Mapping[str, str] | None = None) -> NoReturn:
    """End the command with exit code 1."""
    typer.echo(f"Error: {text}", err=True)
    for name, problem in (fields or {}).items():
        typer.echo(f"  {name}: {problem}", err=True)
    raise typer.Exit(1)


def _address() -> str:
    return settings().url or left_in_home("url") or f"http://127.0.0.1:{settings().port}"


def _token() -> str:
    return token_of_settings() or left_in_home("token")


def token_of_settings() -> str:
    """Return the API token that the settings name; empty where they name none."""
    given = settings().token
    return given.get_secret_value() if given is not None else ""


def left_in_home(name: str) -> str:
    """Return what the server of this home has left there for its commands; empty where none runs."""
    path: Path = settings().home / name
    return path.read_text("utf-8").strip() if path.exists() else ""


def ago(moment: str | None) -> str:
    """Say how long ago a moment was."""
    if moment is None:
        return ""
    return duration((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()) + " ago"


def duration(seconds: float) -> str:
    """Say a duration in its two largest units."""
    whole = max(0, round(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"


def size(count: int) -> str:
    """Say a number of bytes."""
    amount = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1_000:  # noqa: PLR2004 - decimal units
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1_000
    return f"{amount:.1f} TB"


def progress_words(run: Run) -> str:
    """Say where a run is."""
    words = [run["state"] if run["state"] != "running" else run["phase"] or "running"]
    if run["iterations"]:
        words.append(f"{run['iteration']}/{run['iterations']}")
    if run["loss"] is not None:
        words.append(f"loss {run['loss']:.3f}")
    return ", ".join(words)


def shown(values: Mapping[str, Any]) -> Table:
    """Return names and values under each other."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in values.items():
        made.add_row(name, plain(value))
    return made
