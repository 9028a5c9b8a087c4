"""
The story, told on a terminal: two real runs, and what their checkpoints answer.

Everything goes through the REST API, as a script of the user's own would. Nothing here knows an
answer: the table shows what the checkpoints of these very runs said.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.cli.answers import LEGEND, answer_table, mark_of
from app.cli.listings import plain
from app.cli.output import console, progress_words
from app.client import FINAL_STATES, TemperClient
from app.client_types import Column, ComparedRun, Comparison, Run
from app.config import settings
from app.domain.presets import demo_recipes
from app.domain.verdicts import Verdict
from app.parts import ServerError
from app.server import Server, make_login_url

MODEL = "SmolLM2-135M-Instruct"
TEMPLATE = "qwen_chat"  # ChatML, as the model was trained with
GOING_WELL = frozenset({"finished", "running", "queued"})
MOST_LISTED = 100  # runs looked through for the story, the newest first
POLL_SECONDS = 1.0
WIDTH = 120  # characters where there is no terminal: a log is read by people too
LINE_SECONDS = 10.0  # between lines where there is no terminal to draw bars on


def tell_story(server: Server, *, again: bool = False, as_json: bool) -> bool:
    """
    Train the story's runs and show their answers.

    Args:
        again: train them also where they are there already.

    Returns:
        False when no checkpoint tells the story.
    """
    out = Console(stderr=True) if as_json else console(width_elsewhere=WIDTH)
    with TemperClient(server.url, server.token) as client:
        prepare_model(client, server, out)
        runs = runs_of_story(client, again=again, out=out)
        ids = [run["id"] for run in runs]
        if any(run["state"] != "finished" for run in runs):
            out.print(f"Watch it: {make_login_url(server.url, next_path=quote(f'/runs/{ids[0]}'))}", soft_wrap=True)
            runs = follow(client, server, ids, out)
        compared = client.compare(runs=ids)
    if as_json:
        typer.echo(json.dumps(compared, ensure_ascii=False))
    else:
        show(compared, out)
    page = quote(compared["path"], safe="/")
    out.print(f"\nThe comparison: {server.url}{compared['path']}", soft_wrap=True)
    out.print(f"Log in once:    {make_login_url(server.url, next_path=page)}", soft_wrap=True)
    return _say_how_it_ended(runs, compared, out)


def _say_how_it_ended(ended: Sequence[Run], compared: Comparison, out: Console) -> bool:
    for run in ended:
        if run["state"] != "finished":
            why = run["reason"]["message"] if run["reason"] else ""
            out.print(plain(f"Run {run['id']} is {run['state']}. {why}\n{run['log_tail']}"))
    best = [column for column in compared["columns"] if is_passing(column)]
    if not best:
        out.print("No checkpoint both knows who it is and still answers. The table shows how far they came.")
    return bool(best) and all(run["state"] == "finished" for run in ended)


def is_passing(column: Column) -> bool:
    """Whether a checkpoint has learnt who it is and has not forgotten how to answer."""
    return column["iteration"] > 0 and column["score"]["verdict"] == Verdict.GOOD


# ── The runs ───────────────────────────────────────────────────────────────


def runs_of_story(client: TemperClient, *, again: bool, out: Console) -> list[Run]:
    """Return the story's runs: those that are there, or on their way, and new ones in place of the others."""
    recipes = [recipe.model_dump(mode="json") for recipe in demo_recipes()]
    known = [None if again else _run_made_of(client, recipe) for recipe in recipes]
    there = [run["id"] for run in known if run is not None]
    if len(there) == len(recipes):
        ids = " and ".join(map(str, there))
        out.print(
            f"The story is there already, as runs {ids}. To train it again: make demo AGAIN=1, or temper demo --again",
            soft_wrap=True,
        )
    return [run or client.create_run(recipe) for run, recipe in zip(known, recipes, strict=True)]


def _run_made_of(client: TemperClient, recipe: Mapping[str, Any]) -> Run | None:
    """Return the newest run of a recipe that has finished, or still may."""
    listed = client.runs(query=recipe["name"], limit=MOST_LISTED)["runs"]
    found = [run for run in listed if run["name"] == recipe["name"] and run["state"] in GOING_WELL]
    for each in sorted(found, key=lambda run: run["state"] != "finished"):
        run = client.run(each["id"])
        if run["recipe"] == recipe:
            return run
    return None


# ── The model ──────────────────────────────────────────────────────────────


def prepare_model(client: TemperClient, server: Server, out: Console) -> None:
    """Make the small model once, and register it; ServerError when it cannot be made."""
    known = client.model(MODEL)
    if known is not None and known["state"] == "ready":
        return
    folder = settings().models_folder / MODEL
    with _working(out, f"Preparing {MODEL}: 98 MB are downloaded and unpacked, once"):
        _run_engine(server, ["prepare-small", str(folder.resolve())])
    client.add_model(name=MODEL, source=str(folder.resolve()), template=TEMPLATE)


@contextmanager
def _working(out: Console, words: str) -> Iterator[None]:
    if out.is_terminal:
        with out.status(words):
            yield
    else:
        out.print(words)
        yield


def _run_engine(server: Server, arguments: Sequence[str]) -> None:
    log = settings().home / "logs" / "prepare-small.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", settings().engine, *arguments]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603
        try:
            while child.poll() is None:
                server.check()
                time.sleep(POLL_SECONDS / 4)
        finally:
            child.kill()
            child.wait()
    if child.returncode:
        words = log.read_text("utf-8", errors="replace")[-2_000:]
        raise ServerError(f"{MODEL} could not be prepared; the whole log is {log}.\n{words}")


# ── Following ──────────────────────────────────────────────────────────────


def follow(client: TemperClient, server: Server, ids: Sequence[int], out: Console) -> list[Run]:
    """Show the runs' progress until all have ended."""
    with _reporting(out) as report:
        while True:
            server.check()
            runs = [client.run(run_id) for run_id in ids]
            for run in runs:
                report(run)
            if all(run["state"] in FINAL_STATES for run in runs):
                return runs
            time.sleep(POLL_SECONDS)


@contextmanager
def _reporting(out: Console) -> Iterator[Callable[[Run], None]]:
    """Yield what shows a run's progress: bars on a terminal, elsewhere a line now and then."""
    if not out.is_terminal:
        yield _lines(out)
        return
    columns = (SpinnerColumn(), TextColumn("{task.fields[name]}"), BarColumn(), TextColumn("{task.fields[words]}"))
    with Progress(*columns, TimeElapsedColumn(), console=out) as progress:
        yield _bars(progress)


def _bars(progress: Progress) -> Callable[[Run], None]:
    tasks: dict[int, TaskID] = {}

    def report(run: Run) -> None:
        if run["id"] not in tasks:
            tasks[run["id"]] = progress.add_task("", total=None, start=False, name=plain_name(run), words="")
        task = tasks[run["id"]]
        if run["started_at"] is not None and not progress.tasks[task].started:
            progress.start_task(task)
        total = run["iterations"] or None
        progress.update(task, total=total, completed=run["iteration"], words=progress_words(run))
        if run["state"] in FINAL_STATES:
            progress.stop_task(task)

    return report


def plain_name(run: Run) -> str:
    """Name a run so that nothing in it is markup."""
    return f"{run['id']} {run['name']}".replace("[", "(")


def _lines(out: Console) -> Callable[[Run], None]:
    said: dict[int, tuple[float, str]] = {}

    def report(run: Run) -> None:
        words, (moment, before) = progress_words(run), said.get(run["id"], (0.0, ""))
        is_news = run["state"] in FINAL_STATES or time.monotonic() - moment > LINE_SECONDS
        if words != before and is_news:
            said[run["id"]] = (time.monotonic(), words)
            out.print(plain(f"run {run['id']}, {run['name']}: {words}"))

    return report


# ── The table ──────────────────────────────────────────────────────────────


def show(compared: Comparison, out: Console) -> None:
    """Show every checkpoint's marks, then the full answers of the base model and of what to keep."""
    for run in compared["runs"]:
        out.print()
        out.print(mark_table(compared, run))
        out.print(plain(_advice(run)))
    out.print(f"\n{LEGEND}\n")
    out.print(answer_table(compared, chosen_columns(compared)))


def _advice(run: ComparedRun) -> str:
    iteration = run["advice"]["iteration"]
    kept = f"Keep iteration {iteration}." if iteration is not None else "Keep nothing."
    return f"{kept} {run['advice']['reason']}"


def mark_table(compared: Comparison, run: ComparedRun) -> Table:
    """Return probes as rows and a run's checkpoints as columns, one sign for each answer."""
    columns = [column for column in compared["columns"] if column["iteration"] == 0 or column["run_id"] == run["id"]]
    title = plain(f"Run {run['id']}: {run['name']}")
    made = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    made.add_column("probe")
    for column in columns:
        made.add_column("base" if column["iteration"] == 0 else str(column["iteration"]), justify="center")
    for row in compared["rows"]:
        cells = {cell["checkpoint_id"]: mark_of(row, cell) for cell in row["cells"]}
        made.add_row(plain(row["question"]), *(cells[column["checkpoint_id"]] for column in columns))
    made.add_section()
    made.add_row("verdict", *((column["score"]["verdict"] or "").replace("-", "\n") for column in columns))
    return made


def chosen_columns(compared: Comparison) -> list[Column]:
    """Return the base model and one checkpoint of each run: the one to keep, a passing one, or the last."""
    chosen = [column for column in compared["columns"] if column["iteration"] == 0][:1]
    for run in compared["runs"]:
        own = [column for column in compared["columns"] if column["run_id"] == run["id"] and column["iteration"] > 0]
        kept = [column for column in own if column["is_kept"]]
        passing = [column for column in own if is_passing(column)]
        kept_and_passing = [column for column in kept if is_passing(column)]
        chosen += kept_and_passing or passing[-1:] or kept or own[-1:]
    return chosen
