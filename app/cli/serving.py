"""Start Temper, or one part of it."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from app.cli.output import AsJson, console, fail, write_json
from app.config import settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up")(up)
    app.command("web")(web)
    app.command("worker")(worker)
    app.command("demo")(demo)


def up(*, as_json: AsJson = False) -> None:
    """Start everything on this machine: database, queue, web server and one worker."""
    from app import server  # noqa: PLC0415 - the other commands start without it

    with _ending_cleanly(), server.running() as running:
        link = server.make_login_url(running.url)
        if as_json:
            typer.echo(json.dumps({"url": running.url, "login_url": link}))
        else:
            console().print(f"Temper serves at {running.url}, from {settings().home}", soft_wrap=True)
            console().print(f"Log in once, within {settings().login_link_minutes} minutes: {link}", soft_wrap=True)
            console().print("Ctrl-C ends it.")
        sys.stdout.flush()
        with _saying_why_it_takes_a_while():
            running.wait()


def web(*, as_json: AsJson = False) -> None:
    """Start a web server alone, beside a database and a queue that are there already."""
    from app.serve import check_host, listen, serve, url_of  # noqa: PLC0415 - the other commands start without it

    with _ending_cleanly():
        check_host()
        with listen() as listener:
            typer.echo(json.dumps({"url": url_of(listener)}) if as_json else f"Temper serves at {url_of(listener)}")
            sys.stdout.flush()
            serve(listener)


def worker(*, as_json: AsJson = False) -> None:
    """Start a worker alone, beside a database and a queue that are there already."""
    if as_json:
        write_json({"broker": settings().broker.rpartition("@")[2]})
    from app.parts import WORKER_OPTIONS  # noqa: PLC0415 - the other commands start without it

    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "celery", "-A", "worker.main", "worker", *WORKER_OPTIONS])  # noqa: S606


def demo(
    *,
    serve: Annotated[bool, typer.Option(help="Keep serving after the table.")] = True,
    again: Annotated[bool, typer.Option("--again", help="Train also what was trained before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train the story's two runs for real, once, and show what their checkpoints answer."""
    from app import server  # noqa: PLC0415 - the other commands start without it
    from app.demo import tell_story  # noqa: PLC0415

    has_passed = False  # also when it is interrupted
    with _ending_cleanly(), server.running() as running:
        has_passed = tell_story(running, again=again, as_json=as_json)
        sys.stdout.flush()
        if serve:
            with _saying_why_it_takes_a_while():
                running.wait()
    if not has_passed:
        raise typer.Exit(1)


@contextmanager
def _saying_why_it_takes_a_while() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        Console(stderr=True).print("Ending. What trains saves a checkpoint first; Ctrl-C once more does not wait.")
        raise


@contextmanager
def _ending_cleanly() -> Iterator[None]:
    """End on Ctrl-C or SIGTERM with exit code 0, and on what prevents a start with its sentence."""
    from app.parts import ServerError  # noqa: PLC0415 - the other commands start without it
    from app.serve import OpenDoorError  # noqa: PLC0415
    from app.server import ending_on_signals  # noqa: PLC0415

    try:
        with ending_on_signals():
            yield
    except KeyboardInterrupt:
        return
    except (ServerError, OpenDoorError) as error:
        fail(str(error))
