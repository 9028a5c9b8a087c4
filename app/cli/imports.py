"""Imports: take a run that was made by hand with xtuner into the comparison. Works on the database itself."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.here import here
from app.cli.listings import Listing, plain
from app.cli.output import AsJson, console, fail, shown, write_json
from app.domain import audit, db
from app.domain.importing.adopting import adopt_checkpoints
from app.domain.importing.storing import Imported, Wishes, state_of
from app.domain.importing.taking import Given, Prepared, prepared, questions_of
from app.domain.messages import Message
from app.domain.recipes import ProbeGroup, Recipe

OUTCOMES = {"new": "is new", "updated": "is brought up to date", "unchanged": "is here already, and has not changed"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(here(import_run))


def import_run(  # noqa: PLR0913 - one option for each thing that a folder may not tell
    work_dir: Annotated[Path, typer.Argument(help="The folder that xtuner wrote to, with iter_….pth in it.")],
    *,
    name: Annotated[str, typer.Option(help="Name of the run; the config's when left out.")] = "",
    model: Annotated[str, typer.Option(help="A registered model, or a name for one that is not here.")] = "",
    identity: Annotated[
        list[str], typer.Option(metavar="ANSWER", help="An answer that is the identity; may be given again.")
    ] = [],  # noqa: B006 - typer's own way of a repeated option
    data: Annotated[Path | None, typer.Option(help="The rows it was trained on, where the config's are not.")] = None,
    group: Annotated[
        list[str],
        typer.Option(metavar="NUMBER=GROUP", help="What a question shows, such as 3=near-miss; may be given again."),
    ] = [],  # noqa: B006
    copy: Annotated[bool, typer.Option("--copy", help="Take the adapters too, so that they can be asked.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be taken, and store nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a run that was made by hand with xtuner into the comparison; its folder stays as it is."""
    wishes = Wishes(name, model, _groups(group))
    with prepared(work_dir, Given(tuple(identity), data)) as found:
        if dry_run:
            with db.reading() as session:
                recipe, notes = found.planned(session, wishes)
            _show(found, recipe, notes, as_json=as_json)
            return
        with audit.changing("run.import") as session:
            imported = found.store(session, wishes)
            recipe = Recipe.model_validate(imported.run.recipe)
    notes = (*imported.notes, *(adopt_checkpoints(imported.run.id or 0) if copy else ()))
    _show(found, recipe, notes, imported=imported, as_json=as_json)


def _groups(given: list[str]) -> dict[int, ProbeGroup]:
    groups = {}
    for each in given:
        number, equals, group = each.partition("=")
        if not (equals and number.isdecimal() and group in set(ProbeGroup)):
            fail(f"--group {each}: write it as NUMBER=GROUP, the group one of {', '.join(ProbeGroup)}.")
        groups[int(number)] = ProbeGroup(group)
    return groups


def _show(
    found: Prepared,
    recipe: Recipe,
    notes: tuple[Message, ...],
    *,
    imported: Imported | None = None,
    as_json: bool,
) -> None:
    facts = facts_of(found, recipe, notes, imported)
    if as_json:
        write_json(facts)
        return
    if imported:
        console().print(plain(f"Run {facts['run']}, {recipe.name}, {OUTCOMES[imported.outcome]}."), soft_wrap=True)
    wanted = ("folder", "name", "model", "method", "state", "progress", "rows", "identity")
    console().print(shown({key: facts[key] for key in wanted}))
    questions = Listing("number", "group", "question", numbers=("number",))
    for number, group, question in questions_of(recipe):
        questions.add(number, group, question)
    console().print(questions)
    checkpoints = Listing("iteration", "file", "answers", numbers=("iteration", "answers"))
    for each in facts["checkpoints"]:
        checkpoints.add(each["iteration"] or "base model", each["file"] or "none", each["answers"])
    console().print(checkpoints)
    for note in facts["notes"]:
        console().print(plain(f"- {note}"), soft_wrap=True)
    if imported is None:
        console().print("Nothing is stored: this was a dry run.")


def facts_of(
    found: Prepared, recipe: Recipe, notes: tuple[Message, ...], imported: Imported | None = None
) -> dict[str, Any]:
    """Return what was found, and what has become of it."""
    run = found.found
    return {
        "run": imported.run.id if imported else None,
        "outcome": imported.outcome if imported else "dry-run",
        "folder": run.folder,
        "name": recipe.name,
        "model": recipe.model,
        "method": recipe.method,
        "state": state_of(run),
        "progress": f"{run.iteration}/{run.iterations}",
        "rows": found.mix.rows,
        "identity": [pair.answer for pair in recipe.mix.identity],
        "identity_rows": (recipe.mix.identity_count + 1) * len(recipe.mix.identity),
        "probes": [
            {"number": number, "group": group, "question": text} for number, group, text in questions_of(recipe)
        ],
        "checkpoints": [
            {"iteration": each.iteration, "file": each.name, "kind": each.kind, "answers": len(each.said)}
            for each in run.checkpoints
        ],
        "metrics": sum(len(start.measured) for start in run.starts),
        "starts": [start.name for start in run.starts],
        "notes": [str(note) for note in notes],
    }
