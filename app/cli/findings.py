"""What is wrong with a set of rows: counts, examples, and a version in which it is put right."""

from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from app.cli.listings import Listing, plain
from app.cli.mixes import Which, find_dataset
from app.cli.output import AsJson, connected, console, write_json
from app.client_types import DatasetFindings
from app.domain.findings.kinds import FindingKind

EXCERPT = 60  # characters


def register(mix: typer.Typer) -> None:
    """Add the command to `temper mix`."""
    mix.command("check")(check_dataset)


def check_dataset(
    which: Which,
    examples: Annotated[int, typer.Option(min=0, max=200, help="Examples of each kind.")] = 3,
    repair: Annotated[
        list[str],
        typer.Option(
            "--repair", metavar="KIND", help=f"Put all of this kind right, in a new version: {', '.join(FindingKind)}."
        ),
    ] = [],  # noqa: B006 - typer's own way of a repeated option
    *,
    as_json: AsJson = False,
) -> None:
    """Find conflicts, duplicates, empty texts and damage, with row numbers; repair them where asked."""
    with connected() as client:
        dataset = find_dataset(client, which)
        if repair:
            made = client.repair_dataset(dataset["id"], kinds=repair)
        else:
            found = client.findings(dataset["id"], limit=examples)
    if repair:
        words = f"Dataset {made['id']}, {made['name']}: {made['rows']:,} rows, {dataset['rows'] - made['rows']:,} fewer"
        write_json(made) if as_json else console().print(plain(words))
    elif as_json:
        write_json(found)
    else:
        console().print(_shown(found))


def _shown(found: DatasetFindings) -> Group | Text:
    if not found["total"]:
        return plain(f"Nothing is wrong with {found['rows']:,} rows.")
    counts = Listing("kind", "found", numbers=("found",))
    for kind, count in found["counts"].items():
        counts.add(kind, f"{count:,}")
    lines = Listing("row", "kind", "text", "what", "repair", numbers=("row",))
    for each in found["findings"]:
        repair = each["repair"]["sentence"] if each["repair"] else ""
        text = " ".join(each["text"].split())[:EXCERPT]
        lines.add(each["row"], each["kind"], text, each["sentence"], repair)
    return Group(counts, lines) if found["findings"] else Group(counts)
