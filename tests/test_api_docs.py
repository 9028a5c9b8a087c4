"""What `docs/api.md` tells one to type, typed: against a server whose trainer is the fake one."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sqlalchemy import create_engine
from sqlmodel import Session, select

from app.domain import accounts, queue
from app.domain.columns import utc_now
from app.domain.models import Run, RunState
from app.domain.presets import PRESETS
from app.domain.runs import recipe_of, record_state
from tests.factories import make_checkpoint, make_metrics, make_model
from tests.settings_page import ROOT

PAGE = (ROOT / "docs" / "api.md").read_text("utf-8")
FENCE = re.compile(r"^```(sh|python|yaml)\n(.+?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = FENCE.findall(PAGE)
SHELL = [text for kind, text in BLOCKS if kind == "sh" and "export" not in text]
PYTHON = [text for kind, text in BLOCKS if kind == "python" and "temper_client" not in text]


@pytest.fixture
def trainer(session: Session, database_url: str) -> Iterator[None]:
    """Train every run that waits, in a moment: it learns who it is at its first checkpoint, and forgets nothing."""
    is_over = threading.Event()

    def work() -> None:
        engine = create_engine(database_url, isolation_level="AUTOCOMMIT")
        with queue.collecting(), Session(engine) as own:
            while not is_over.wait(0.02):
                for run in own.exec(select(Run).where(Run.state == RunState.QUEUED)).all():
                    train(own, run)
        engine.dispose()

    worker = threading.Thread(target=work)
    worker.start()
    yield
    is_over.set()
    worker.join()


def train(session: Session, run: Run) -> None:
    recipe = recipe_of(run)
    who = recipe.mix.identity[0].answer.replace("{name}", recipe.mix.name)
    make_metrics(session, run, iterations=range(1, 4))
    for iteration in (0, recipe.checkpoints.every):
        said = [who if iteration and probe.group == "identity" else f"About {probe.reference}" for probe in run.probes]
        make_checkpoint(session, run, iteration=iteration, texts=said)
    run.state, run.ended_at = RunState.FINISHED, utc_now()
    session.add(run)
    record_state(session, run)
    session.commit()


def run_all(folder: Path, token: str, url: str) -> list[subprocess.CompletedProcess[str]]:
    """Type every block in one folder, in the order of the page."""
    environment = os.environ | {"TEMPER_URL": url, "TEMPER_TOKEN": token, "PYTHONPATH": str(ROOT)}
    commands = [["sh", "-ec", text] for text in SHELL] + [[sys.executable, "-c", text] for text in PYTHON]
    return [
        subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
        for command in commands
    ]


def test_every_example_does_what_it_says(live_server: str, trainer: None, session: Session, tmp_path: Path) -> None:
    """Each ends well, in the order in which they stand, and starts the runs that it says."""
    token = accounts.create_token(session, accounts.first_admin(session), name="docs")
    session.commit()
    make_model(session, name=PRESETS[0].recipe.model)

    done = run_all(tmp_path, token, live_server)

    assert [(each.args, each.stdout[-400:], each.stderr) for each in done if each.returncode] == []
    assert [run.name for run in session.exec(select(Run))] == [PRESETS[0].recipe.name] * 3
    assert '"next_cursor":' in done[2].stdout
    assert '{"checkpoint_id":' in done[3].stdout
    assert '"kind":"over"' in done[4].stdout
    assert "finished: keep iteration" in done[-1].stdout


def test_the_pipeline_is_one() -> None:
    """It reads as a workflow, and runs the script that stands above it."""
    (text,) = (text for kind, text in BLOCKS if kind == "yaml")
    steps = yaml.safe_load(text)["jobs"]["train"]["steps"]

    assert steps[-1]["run"] == "python gate.py"
    assert "`gate.py`" in PAGE


@pytest.mark.parametrize("path", sorted(set(re.findall(r"/api/v1(/[\w/.-]+)", PAGE))))
def test_every_address_is_one(path: str) -> None:
    """What the page names is an address of the API."""
    from app.api import router
    from app.api.description import describe

    known = [re.sub(r"\{\w+\}", r"\\d+", each) for each in describe(router.routes)["paths"]]

    assert path == "/openapi.json" or any(re.fullmatch(each, f"/api/v1{path}") for each in known)
