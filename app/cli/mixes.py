"""What runs are trained on: upload a set of rows, look at it, take it away."""

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from app.cli.listings import Listing, plain
from app.cli.output import AsJson, ago, connected, console, fail, shown, size, write_json
from app.cli.recipe_files import RecipeFile, read_recipe
from app.client import TemperClient
from app.client_types import Dataset, DatasetRow

mix = typer.Typer(help="Upload sets of rows, look at them, take them away.", no_args_is_help=True)
Which = Annotated[str, typer.Argument(metavar="NAME|ID", help="The name of a set, or the id of a version.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    from app.cli import findings  # noqa: PLC0415 - it takes its dataset from this module

    findings.register(mix)
    app.add_typer(mix, name="mix")


@mix.command("upload")
def upload_dataset(
    file: Annotated[Path, typer.Argument(help="JSON, JSON Lines, CSV or Parquet.")],
    name: Annotated[str, typer.Option(help="What to call the set; the file's own name when left out.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Upload a file of rows; under a name that is there already it becomes its newest version."""
    if not file.is_file():  # a pipe has no end that one may wait for, and /dev/zero none at all
        kind = "is no regular file" if file.exists() else "is not there"
        fail(f"{file} {kind}. Give the path of a file of rows.")
    with connected() as client:
        dataset = client.upload_dataset(file, name=name)
    if as_json:
        write_json(dataset)
    else:
        console().print(plain(_words(dataset)))


@mix.command("save")
def save_mix(
    recipe: RecipeFile,
    name: Annotated[str, typer.Option(help="What to call the set.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Save the identity and general pairs of a recipe's mix as a set, each once, to use them in other runs."""
    wanted = read_recipe(recipe).get("mix")
    with connected() as client:
        dataset = client.save_mix(wanted if isinstance(wanted, dict) else {}, name=name)
    if as_json:
        write_json(dataset)
    else:
        console().print(plain(_words(dataset)))


def _words(dataset: Dataset) -> str:
    left_out = f", {dataset['left_out']:,} without an answer left out" if dataset["left_out"] else ""
    return f"Dataset {dataset['id']}, {dataset['name']}: {dataset['rows']:,} rows{left_out} ({dataset['form']})"


@mix.command("list")
def list_datasets(
    query: Annotated[str, typer.Argument(help="Words in the name.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=200)] = 25,
    *,
    as_json: AsJson = False,
) -> None:
    """List the sets, each at its newest version."""
    with connected() as client:
        found = client.datasets(query=query, limit=limit)
    if as_json:
        write_json(found)
        return
    made = Listing("id", "name", "rows", "form", "size", "added", numbers=("id", "rows", "size"))
    for each in found["datasets"]:
        cells = (each["id"], each["name"], f"{each['rows']:,}", each["form"], size(each["size_bytes"]))
        made.add(*cells, ago(each["created_at"]))
    console().print(made)
    if found["total"] > len(found["datasets"]):
        console().print(f"{len(found['datasets'])} of {found['total']}")


@mix.command("show")
def show_dataset(
    which: Which,
    rows: Annotated[int, typer.Option(min=0, max=200, help="How many of the first rows to show.")] = 3,
    *,
    as_json: AsJson = False,
) -> None:
    """Look at a set: its versions, and its first rows."""
    with connected() as client:
        dataset = client.dataset(find_dataset(client, which)["id"])
        first = client.dataset_rows(dataset["id"], limit=rows) if rows else []
    if as_json:
        write_json({**dataset, "first_rows": first})
        return
    console().print(
        shown(
            {
                "name": dataset["name"],
                "id": str(dataset["id"]),
                "sha256": dataset["sha256"],
                "ids of all versions": ", ".join(str(version["id"]) for version in dataset["versions"]),
                "rows": f"{dataset['rows']:,}",
                "from": f"{dataset['source_name']} ({dataset['form']}, {dataset['container']})",
                "size": size(dataset["size_bytes"]),
                "used by": f"{dataset['used_by']} runs",
            }
        )
    )
    for number, row in enumerate(first, 1):
        console().print(plain(f"\n{number}. {_text(row)}"))


def _text(row: DatasetRow) -> str:
    lines = []
    for turn in row["conversation"]:
        lines += [f"[system] {turn['system']}"] if turn["system"] else []
        lines += [f"[user] {turn['input']}", f"[assistant] {turn['output']}"]
    return "\n   ".join(lines)


@mix.command("export")
def export_dataset(
    which: Which,
    output: Annotated[Path | None, typer.Option(help="File to write; named after the set without it.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write the rows of a set to a file, as JSON Lines in xtuner's own form."""
    with connected() as client:
        dataset = find_dataset(client, which)
        target = output or Path(f"dataset-{dataset['id']}.jsonl")
        client.download_dataset(dataset["id"], target)
    with target.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != dataset["sha256"]:
            target.unlink()
            fail(f"{target} arrived damaged and is deleted. Try again.")
    if as_json:
        write_json({**dataset, "file": str(target)})
    else:
        console().print(plain(f"{target}: {dataset['rows']:,} rows, {size(dataset['size_bytes'])}"))


@mix.command("delete")
def delete_dataset(which: Which, *, as_json: AsJson = False) -> None:
    """Delete a version of a set, the newest when a name is given; one that a run was made from stays."""
    with connected() as client:
        dataset = find_dataset(client, which)
        client.delete_dataset(dataset["id"])
    if as_json:
        write_json(dataset)
    else:
        console().print(plain(f"Dataset {dataset['id']}, {dataset['name']}, is deleted."))


def find_dataset(client: TemperClient, which: str) -> Dataset:
    """Return the newest version of a name, or the version of an id where no set has that name."""
    found = client.find_dataset(which)
    if found is None and which.isascii() and which.isdigit():
        return client.dataset(int(which))
    if found is not None:
        return found
    return fail(f"There is no dataset named “{which}”. `temper mix list` shows those that there are.")
