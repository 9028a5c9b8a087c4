"""What checkpoints answer, and taking a checkpoint's files home."""

import hashlib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from app.cli.listings import Listing, plain
from app.cli.output import AsJson, connected, console, fail, size, write_json
from app.client import TemperClient
from app.client_types import Artifact, Cell, Column, Comparison, Row

MARKS = {"hit": "●", "miss": "○", "leak": "⚑", "right": "✓", "wrong": "✗", "": "·"}
LEGEND = "asked who it is: ● the identity, ○ not   asked else: ✓ right, ✗ not, ⚑ taught words that nobody asked for"


class Form(StrEnum):
    """How a comparison is written."""

    TABLE = "table"
    CSV = "csv"
    MARKDOWN = "markdown"


class Kind(StrEnum):
    """What is made of a checkpoint."""

    ADAPTER = "adapter"
    MERGED = "merged"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("compare")(compare)
    app.command("card")(card)
    app.command("export")(export)


def compare(
    checkpoints: Annotated[list[int] | None, typer.Argument(help="Ids of checkpoints.")] = None,
    runs: Annotated[list[int], typer.Option("--run", help="A whole run; may be given again.")] = [],  # noqa: B006
    form: Annotated[Form, typer.Option("--as", help="How to write it.")] = Form.TABLE,
    *,
    as_json: AsJson = False,
) -> None:
    """Show what checkpoints answer, side by side."""
    if not checkpoints and not runs:
        fail("Say what to compare: ids of checkpoints, or --run with the id of a run.")
    with connected() as client:
        if form is not Form.TABLE:
            text = client.compare_as(_text_form(form), checkpoints=checkpoints or (), runs=runs)
            typer.echo(text, nl=False)
            return
        compared = client.compare(checkpoints=checkpoints or (), runs=runs)
    if as_json:
        write_json(compared)
        return
    console().print(answer_table(compared, compared["columns"]))
    for run in compared["runs"]:
        iteration = run["advice"]["iteration"]
        kept = f"keep iteration {iteration}" if iteration is not None else "keep nothing"
        console().print(plain(f"Run {run['id']}, {run['name']}: {kept}. {run['advice']['reason']}"))


def _text_form(form: Form) -> Literal["csv", "markdown"]:
    return "csv" if form is Form.CSV else "markdown"


def answer_table(compared: Comparison, columns: list[Column]) -> Listing:
    """Return the answers of some columns in full, each with its mark."""
    is_alone = len(compared["runs"]) == 1
    made = Listing("probe", *(column_name(column, is_alone=is_alone) for column in columns), is_ruled=True)
    for row in compared["rows"]:
        cells = {cell["checkpoint_id"]: cell for cell in row["cells"]}
        texts = (cells[column["checkpoint_id"]] for column in columns)
        made.add(row["question"], *(f"{mark_of(row, cell)} {cell['text']}" for cell in texts))
    return made


def column_name(column: Column, *, is_alone: bool) -> str:
    """Name a column."""
    if column["iteration"] == 0:
        return "base model"
    return f"iter {column['iteration']}" if is_alone else f"run {column['run_id']}, iter {column['iteration']}"


def mark_of(row: Row, cell: Cell) -> str:
    """Return the one sign that says how an answer is to be seen."""
    if cell["state"] != "given":
        return " "
    if cell["is_leak"]:
        return MARKS["leak"]
    if row["group"] == "identity":
        return MARKS["hit" if cell["is_hit"] else "miss"]
    if cell["is_right"] is None:
        return MARKS[""]
    return MARKS["right" if cell["is_right"] else "wrong"]


def card(
    run_id: int,
    to: Annotated[Path | None, typer.Option(help="File to write to; named after the run without it.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write the recipe card of a run: one HTML file that opens offline, and that `temper run` takes again."""
    path = to or Path(f"temper-run-{run_id}.html")
    with connected() as client:
        text = client.card(run_id)
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}.")
    if as_json:
        write_json({"run_id": run_id, "file": str(path), "size_bytes": path.stat().st_size})
    else:
        console().print(plain(f"{path}: {size(path.stat().st_size)}"))


def export(
    checkpoint_id: int,
    kind: Annotated[Kind, typer.Option(help="The adapter alone, or the whole model with it.")] = Kind.ADAPTER,
    to: Annotated[Path | None, typer.Option(help="Folder to write to; named after the artifact without it.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make an adapter or a merged model of a checkpoint, and download its files."""
    with connected() as client:
        asked = client.convert(checkpoint_id) if kind is Kind.ADAPTER else client.merge(checkpoint_id)
        artifact = client.wait_for_artifact(asked["id"])
        if artifact["state"] != "finished":
            fail(artifact["reason_message"] or f"The artifact is {artifact['state']}.")
        folder = to or Path(f"checkpoint-{checkpoint_id}-{kind}")
        _download(client, artifact, folder)
    if as_json:
        write_json({**artifact, "folder": str(folder)})
    else:
        console().print(plain(f"{folder}: {len(artifact['files'])} files, {size(artifact['size_bytes'])}"))


def _download(client: TemperClient, artifact: Artifact, folder: Path) -> None:
    for file in artifact["files"]:
        target = folder / file["name"]
        if not target.resolve().is_relative_to(folder.resolve()):
            fail(f"The server names a file outside the folder: {file['name']}")
        target.parent.mkdir(parents=True, exist_ok=True)
        client.download(artifact["id"], file["name"], target)
        if _sha256(target) != file["sha256"]:
            target.unlink()
            fail(f"{file['name']} arrived damaged and is deleted. Try again.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
