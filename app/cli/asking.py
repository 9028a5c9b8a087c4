"""Ask the checkpoints of a run that has ended something new."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from app.cli.answers import LEGEND, column_name, mark_of
from app.cli.listings import Listing, plain
from app.cli.output import AsJson, connected, console, fail, write_json
from app.client import TemperClient
from app.client_askings import AddedProbe, Asking


class Group(StrEnum):
    """What a probe is for."""

    GENERAL = "general"
    IDENTITY = "identity"
    NEAR_MISS = "near-miss"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ask")(ask)


def ask(
    run_id: Annotated[int, typer.Argument(help="A run that has ended.")],
    question: Annotated[str, typer.Argument(help="Asked of the base model and of every checkpoint with its files.")],
    group: Annotated[Group, typer.Option(help="What it is asked for.")] = Group.GENERAL,
    reference: Annotated[str, typer.Option(help="What a right answer holds.")] = "",
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the answers and show them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask every checkpoint of a run a question; the answers stay beside the others."""
    with connected() as client:
        added = client.add_probe(run_id, question, group=group, reference=reference)
        if not wait:
            _say_added(client, added, as_json=as_json)
            return
        try:
            asking = client.wait_for_asking(run_id, added["asking"]["id"])
        except KeyboardInterrupt:
            typer.echo(
                f"It is being asked all the same. The answers come into the comparison of run {run_id}.", err=True
            )
            raise typer.Exit(130) from None
        answers = _answers(client, added, run_id)
    _show(added, asking, answers, as_json=as_json)


def _say_added(client: TemperClient, added: AddedProbe, *, as_json: bool) -> None:
    if as_json:
        write_json(added)
        return
    run_id = added["asking"]["run_id"]
    console().print(
        plain(f"Probe {added['id']} is asked as soon as a device is free: {client.url}/compare?runs={run_id}")
    )


def _answers(client: TemperClient, added: AddedProbe, run_id: int) -> list[dict[str, Any]]:
    """Return what each checkpoint said to one probe, the base model first."""
    compared = client.compare(runs=[run_id])
    columns = {column["checkpoint_id"]: column for column in compared["columns"]}
    wanted = (added["group"], added["question"])
    row = next((row for row in compared["rows"] if (row["group"], row["question"]) == wanted), None)
    return [
        {
            "checkpoint_id": cell["checkpoint_id"],
            "iteration": columns[cell["checkpoint_id"]]["iteration"],
            "name": column_name(columns[cell["checkpoint_id"]], is_alone=True),
            "mark": mark_of(row, cell),
            **{name: cell.get(name) for name in ("text", "is_hit", "is_leak", "is_right")},
        }
        for cell in (row["cells"] if row else ())
        if row and cell["state"] == "given"
    ]


def _show(added: AddedProbe, asking: Asking, answers: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        kept = [{name: value for name, value in each.items() if name not in {"name", "mark"}} for each in answers]
        write_json({**added, "asking": asking, "answers": kept})
    else:
        made = Listing("checkpoint", "answer", is_ruled=True)
        for each in answers:
            made.add(each["name"], f"{each['mark']} {each['text']}")
        console().print(made)
        typer.echo(LEGEND, err=True)
    if asking["state"] != "finished":
        fail(asking["reason_message"] or "Not every checkpoint has answered.")
