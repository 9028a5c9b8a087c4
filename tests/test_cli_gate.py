"""`temper run --require` and `temper wait`: what a pipeline can rely on."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session
from typer.testing import CliRunner

from app.cli import app
from app.cli.gate import wait_for
from app.cli.output import console
from app.client import TemperClient
from app.domain.models import Run, RunState
from tests.conftest import ROOT
from tests.factories import IDENTITY, make_checkpoint, make_model, make_recipe_data, make_run
from tests.test_cli import read, server, temper

__all__ = ["server"]

TEXTS = {
    "good": (IDENTITY, "No.", "Paris."),
    "leaking": (IDENTITY, IDENTITY, "Paris."),
    "parrot": (IDENTITY, IDENTITY, IDENTITY),
    "not-learnt": ("A model.", "No.", "Paris."),
}


def make_judged(session: Session, *verdicts: str, state: RunState = RunState.FINISHED) -> Run:
    """Store a run whose checkpoints have these verdicts, after a base model."""
    run = make_run(session, state=state)
    make_checkpoint(session, run, iteration=0, texts=TEXTS["not-learnt"])
    for place, verdict in enumerate(verdicts, 1):
        make_checkpoint(session, run, iteration=5 * place, texts=TEXTS[verdict])
    return run


ENDS = [
    (["good", "parrot"], RunState.FINISHED, "good", 0),
    (["leaking", "parrot"], RunState.FINISHED, "good", 5),
    (["leaking", "parrot"], RunState.FINISHED, "leaking", 0),
    (["good"], RunState.FINISHED, "leaking", 0),
    (["parrot", "not-learnt"], RunState.FINISHED, "leaking", 5),
    ([], RunState.FINISHED, "good", 5),
    (["parrot"], RunState.FINISHED, None, 0),
    (["good"], RunState.FAILED, "good", 3),
    (["good"], RunState.CANCELLED, None, 4),
]


@pytest.mark.usefixtures("server")
def test_the_exit_code_says_what_the_run_came_to(session: Session) -> None:
    """Its failure before its verdicts; the reason is on standard error, and the same is in the JSON."""
    for verdicts, state, required, code in ENDS:
        run = make_judged(session, *verdicts, state=state)
        options = ["--require", required] if required else []

        told = temper("wait", str(run.id), *options, "--json")
        outcome = json.loads(told.stdout)["outcome"]

        assert (told.exit_code, outcome["exit_code"]) == (code, code), verdicts
        assert ("Error: " in told.stderr) is (code != 0)
        assert outcome["required"] == required
        assert outcome["verdict"] == (verdicts[0] if verdicts else None)


@pytest.mark.usefixtures("server")
def test_ctrl_c_leaves_the_run_running(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so, and how to go on."""
    run = make_run(session)

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TemperClient, "wait", interrupted)

    told = temper("wait", str(run.id))

    assert told.exit_code == 130
    assert f"Run {run.id} goes on. `temper wait {run.id}` follows it again" in told.stderr
    session.refresh(run)
    assert run.state is RunState.QUEUED


class Ending(TemperClient):
    """A client whose run moves on with every look."""

    def __init__(self) -> None:
        """Connect to nothing."""

    def wait(self, run_id: int, **options: Any) -> Any:
        """Tell of two steps, one of them twice."""
        run = {"id": run_id, "state": "running", "phase": "training", "iteration": 1, "iterations": 9, "loss": 2.5}
        for step in (run, run, run | {"iteration": 2, "phase": "[red]saving"}):
            options["on_change"](step)
        return run


def test_a_bar_is_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, so that standard output holds the result alone; elsewhere it is a line for each change."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", screen := Terminal())
        wait_for(Ending(), 7, as_json=False)
    drawn = capsys.readouterr().out
    wait_for(Ending(), 7, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    wait_for(Ending(), 7, as_json=True)

    assert "2/9, loss 2.500" in screen.getvalue()
    assert drawn == ""
    assert lines == ["Run 7: training, 1/9, loss 2.500", "Run 7: [red]saving, 2/9, loss 2.500"]
    assert capsys.readouterr().out == ""


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """As no-color.org asks; bold stays."""
    assert not console().no_color
    monkeypatch.setenv("NO_COLOR", "1")
    assert console().no_color


@pytest.mark.usefixtures("server")
def test_a_recipe_may_be_yaml_by_name_or_in_a_pipe(session: Session, tmp_path: Path) -> None:
    """With texts and numbers as they are written; JSON is YAML, too."""
    make_model(session)
    data = make_recipe_data(name="piped")
    text = (
        "name: yaml\nmodel: smollm2\nmix:\n  name: Ada\n  identity:\n    - {question: 'Who?', answer: No}\n"
        "training:\n  iterations: 20\n  learning_rate: 1e-3\ncheckpoints: {every: 5}\n"
        "probes:\n  - {question: 'Who?', group: identity}\n"
    )
    (tmp_path / "recipe.yml").write_text(text)

    run = read("run", str(tmp_path / "recipe.yml"))

    assert (run["recipe"]["training"]["learning_rate"], run["recipe"]["mix"]["identity"][0]["answer"]) == (0.001, "No")
    toml = (
        'name = "toml"\nmodel = "smollm2"\n[mix]\nidentity = [{question = "W?", answer = "A"}]\n'
        '[[probes]]\nquestion = "W?"\n'
    )
    for piped in (text, json.dumps(data), toml):
        told = CliRunner().invoke(
            app, ["run", "-", "--set", "training.iterations=20", "--set", "checkpoints.every=5", "--json"], input=piped
        )
        assert told.exit_code == 0, told.stderr


def test_a_shell_completes_commands_and_options() -> None:
    """From what typer installs: no command's module is run for it."""
    environment = os.environ | {"_TEMPER_COMPLETE": "complete_bash", "COMP_WORDS": "temper swe", "COMP_CWORD": "1"}

    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['temper']; from app.cli import main; main()"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stdout.split() == ["sweep", "sweeps"]
