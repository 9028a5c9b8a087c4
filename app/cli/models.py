"""Base models: list them, and register one."""

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
    *,
    as_json: AsJson = False,
) -> None:
    """Register a model."""
    with connected() as client:
        model = client.add_model(name=name, source=source, template=template)
    if as_json:
        write_json(model)
    else:
        console().print(plain(f"{model['name']} is {model['state']}, with the template {model['template']}."))
