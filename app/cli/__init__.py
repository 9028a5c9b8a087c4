"""The `temper` command. Assembles only: each group of commands is a module beside this one."""

import typer

from app.cli import admin, answers, models, runs, serving

app = typer.Typer(
    name="temper",
    help="Launch LLM fine-tunes and see what every checkpoint answers, side by side.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for _module in (serving, runs, answers, models, admin):
    _module.register(app)


def main() -> None:
    """Run the command."""
    app()
