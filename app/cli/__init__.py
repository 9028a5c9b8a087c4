"""
The `temper` command.

Each command's module is loaded when the command is asked for: `temper runs` must not wait for
what only the database commands need.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer
from typer.core import TyperGroup

from app.cli.examples import with_examples

MODULES = {
    "up": "serving",
    "web": "serving",
    "worker": "serving",
    "demo": "serving",
    "run": "runs",
    "wait": "runs",
    "runs": "runs",
    "show": "runs",
    "stop": "runs",
    "resume": "runs",
    "move": "runs",
    "sweep": "sweeps",
    "sweeps": "sweeps",
    "forecast": "forecasts",
    "compare": "answers",
    "ask": "asking",
    "card": "answers",
    "export": "answers",
    "import": "imports",
    "mix": "mixes",
    "models": "models",
    "webhook": "webhooks",
    "token": "admin",
    "user": "admin",
    "password": "admin",
    "audit": "audit",
    "login-link": "admin",
    "migrate": "admin",
    "backup": "backups",
    "restore": "backups",
    "doctor": "admin",
}


class LazyCommands(TyperGroup):
    """The commands by name, each loaded from its module on demand."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # noqa: ARG002
        """Return the names in the order that help shows them."""
        return list(MODULES)

    def get_command(self, ctx: typer.Context, cmd_name: str):  # type: ignore[no-untyped-def, override]  # noqa: ANN201, ARG002
        """Load a command; None when there is none of this name."""
        if cmd_name not in MODULES:
            return None
        part = typer.Typer(add_completion=False)
        part.callback()(lambda: None)
        import_module(f"app.cli.{MODULES[cmd_name]}").register(part)
        return with_examples(typer.main.get_group(part).commands[cmd_name], cmd_name)

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run a command; what it or the server refuses ends it with a sentence."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            from app.cli.failures import failure_of  # noqa: PLC0415 - loads what most commands do without
            from app.cli.output import fail  # noqa: PLC0415

            failure = failure_of(error)
            if failure is None:
                raise
            fail(failure.text, failure.fields)


app = typer.Typer(
    name="temper",
    help="Launch LLM fine-tunes and see what every checkpoint answers, side by side.",
    cls=LazyCommands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(*, is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"Temper {version('temper')}")
        raise typer.Exit


@app.callback()
def _temper(
    *,
    is_version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda is_asked: _show_version(is_asked=is_asked),
            is_eager=True,
            help="Show the version and end.",
        ),
    ] = False,
) -> None:
    """Launch LLM fine-tunes and see what every checkpoint answers, side by side."""


def main() -> None:
    """Run the command."""
    app()
