"""Webhooks: who is told what becomes of runs, and what was sent to them."""

from enum import StrEnum
from typing import Annotated

import typer

from app.cli.listings import Listing, plain
from app.cli.output import AsJson, ago, connected, console, fail, write_json
from app.client_webhooks import Delivery

webhooks = typer.Typer(help="Add, list, test and remove webhooks.", no_args_is_help=True)
ALL = ("run.finished", "run.failed", "run.stopped", "verdict.reached", "sweep.finished")

Which = Annotated[int, typer.Argument(metavar="ID", help="As `temper webhook list` numbers it.")]


class Kind(StrEnum):
    """Who listens."""

    PROGRAM = "program"
    PERSON = "person"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(webhooks, name="webhook")


@webhooks.command("add")
def add_webhook(
    address: Annotated[str, typer.Argument(help="A URL; with --kind person an address of apprise's.")],
    events: Annotated[
        list[str], typer.Option("--event", help=f"May be given again; all when left out: {', '.join(ALL)}.")
    ] = [],  # noqa: B006 - typer's own way of a repeated option
    *,
    kind: Annotated[Kind, typer.Option(help="A program gets signed JSON, a person a sentence.")] = Kind.PROGRAM,
    name: Annotated[str, typer.Option(help="What lists call it; its address when left out.")] = "",
    language: Annotated[str, typer.Option(help="Of the sentence that people get: en or zh.")] = "en",
    as_json: AsJson = False,
) -> None:
    """Add a webhook. The secret that verifies what it gets is shown this once."""
    with connected() as client:
        made = client.add_webhook(address, kind=kind, events=events, name=name, language=language)
    if as_json:
        write_json(made)
        return
    typer.echo(f"Webhook {made['id']}, {made['name']}, is told of {', '.join(made['events'])}.", err=True)
    if made["secret"]:
        typer.echo(made["secret"])


@webhooks.command("list")
def list_webhooks(*, as_json: AsJson = False) -> None:
    """List webhooks; no secret is shown."""
    with connected() as client:
        found = client.webhooks()
    if as_json:
        write_json(found)
        return
    made = Listing("id", "name", "listens", "address", "events", "state", numbers=("id",))
    for each in found:
        state = "on" if each["is_enabled"] else "off"
        made.add(each["id"], each["name"], each["kind"], each["address"], ", ".join(each["events"]), state)
    console().print(made)


@webhooks.command("test")
def send_test(webhook_id: Which, *, as_json: AsJson = False) -> None:
    """Send a test and say what became of it; exit 1 unless it arrived."""
    with connected() as client:
        told = client.send_webhook_test(webhook_id)
    if as_json:
        write_json(told)
    elif told["state"] == "delivered":
        console().print(plain(f"It arrived: {_facts(told)}"))
    if told["state"] != "delivered":
        fail(told["problem_message"])


@webhooks.command("log")
def show_log(
    webhook_id: Which,
    limit: Annotated[int, typer.Option(min=1, max=200, help="So many of the newest.")] = 20,
    *,
    as_json: AsJson = False,
) -> None:
    """Show the newest messages to a webhook, and what became of them."""
    with connected() as client:
        found = client.deliveries(webhook_id, limit=limit)
    if as_json:
        write_json(found)
        return
    made = Listing("id", "event", "about", "state", "facts", "problem", "age", numbers=("id",))
    for each in found:
        about = f"run {each['run_id']}" if each["run_id"] else f"sweep {each['sweep_id']}" if each["sweep_id"] else ""
        made.add(
            each["id"],
            each["event"],
            about,
            each["state"],
            _facts(each),
            each["problem_message"],
            ago(each["created_at"]),
        )
    console().print(made)


def _facts(delivery: Delivery) -> str:
    facts = [f"{delivery['tries']} tries" if delivery["tries"] != 1 else "1 try"]
    if delivery["status_code"] is not None:
        facts.append(f"answer {delivery['status_code']}")
    if delivery["milliseconds"] is not None:
        facts.append(f"{delivery['milliseconds']} ms")
    return ", ".join(facts)


@webhooks.command("again")
def send_again(
    webhook_id: Which,
    delivery_id: Annotated[int, typer.Argument(metavar="DELIVERY", help="As `temper webhook log` numbers it.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Send a message again that arrived, or was given up."""
    with connected() as client:
        told = client.send_delivery_again(webhook_id, delivery_id)
    write_json(told) if as_json else console().print(f"Delivery {delivery_id} is sent again.")


@webhooks.command("switch")
def switch_webhook(
    webhook_id: Which,
    *,
    on: Annotated[bool, typer.Option("--on/--off", help="Off gives up what waits for it.")],
    as_json: AsJson = False,
) -> None:
    """Switch a webhook on or off."""
    with connected() as client:
        changed = client.change_webhook(webhook_id, is_enabled=on)
    write_json(changed) if as_json else console().print(f"Webhook {webhook_id} is {'on' if on else 'off'}.")


@webhooks.command("remove")
def remove_webhook(webhook_id: Which, *, as_json: AsJson = False) -> None:
    """Forget a webhook, its secret and its log."""
    with connected() as client:
        client.remove_webhook(webhook_id)
    write_json({"id": webhook_id, "removed": True}) if as_json else console().print(f"Webhook {webhook_id} is removed.")
