"""Base models: list them, register one, and approve what could run code in its folder."""

from typing import Annotated

import typer

from app.cli.listings import Listing, plain
from app.cli.output import AsJson, connected, console, size, write_json

models = typer.Typer(help="List base models, or register one.", invoke_without_command=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(models, name="models")


@models.callback()
def list_models(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List base models, or register one."""
    if context.invoked_subcommand is not None:
        return
    with connected() as client:
        found = client.models()
    if as_json:
        write_json(found)
        return
    made = Listing("name", "state", "architecture", "template", "parameters", "size", numbers=("parameters", "size"))
    for model in found:
        cells = (model["name"], model["state"], model["architecture"], model["template"], f"{model['parameters']:,}")
        made.add(*cells, size(model["size_bytes"]))
    console().print(made)


@models.command("add")
def add_model(
    name: Annotated[str, typer.Argument(help="What recipes will call it.")],
    source: Annotated[str, typer.Argument(help="A folder on the server in Hugging Face form, or a hub id.")],
    template: Annotated[str, typer.Option(help="xtuner's name of its prompt template; proposed when left out.")] = "",
    approve: Annotated[str, typer.Option(help="Hash of its files that could run code; see `models review`.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Register a model."""
    with connected() as client:
        model = client.add_model(name=name, source=source, template=template, approve=approve)
    if as_json:
        write_json(model)
    else:
        console().print(plain(f"{model['name']} is {model['state']}, with the template {model['template']}."))


@models.command("review")
def review_model(
    source: Annotated[str, typer.Argument(help="A folder on the server, or a hub id in its cache.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show what could run code in a model's folder, and the hash that approves it."""
    with connected() as client:
        found = client.review_model(source)
    if as_json:
        write_json(found)
        return
    if not found["files"]:
        console().print(plain("Nothing in this folder could run code."))
        return
    made = Listing("file", "kind", "size", "sha256", "reason", numbers=("size",))
    for file in found["files"]:
        made.add(file["file"], file["kind"], size(file["size_bytes"]), file["sha256"][:8], file["reason"])
    console().print(made)
    console().print(plain(f"{'not approved' if found['is_needed'] else 'approved'}: {found['sha256']}"))


@models.command("approve")
def approve_model(
    source: Annotated[str, typer.Argument(help="A folder on the server, or a hub id in its cache.")],
    sha256: Annotated[str, typer.Argument(help="The hash that `models review` shows.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Approve the files of a model's folder that could run code; you have looked at them."""
    with connected() as client:
        approved = client.approve_model(source, sha256)
    if as_json:
        write_json(approved)
    else:
        console().print(plain(f"{len(approved['files'])} files are approved; another content needs another approval."))
