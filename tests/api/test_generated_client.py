"""A client that a program generates from the description of the API."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlmodel import Session

from app.api import router
from app.api.description import describe
from app.domain import accounts
from app.domain.runs import get_run
from tests.factories import make_checkpoint, make_model

NAME = "generated_temper"


def generate(folder: Path) -> None:
    """Generate a client as a stranger would: from the description alone, a warning being a failure."""
    (folder / "openapi.json").write_text(json.dumps(describe(router.routes)), "utf-8")
    (folder / "config.yml").write_text(f"post_hooks: []\npackage_name_override: {NAME}\n", "utf-8")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json", "--meta", "none",
               "--config", "config.yml", "--output-path", NAME, "--fail-on-warning"]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def generated(tmp_path: Path) -> Iterator[ModuleType]:
    """Generate the client and import it."""
    generate(tmp_path)
    sys.path.insert(0, str(tmp_path))
    yield importlib.import_module(NAME)
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


def call(operation: str) -> Any:
    """Return the function of an operation that waits for its answer."""
    return importlib.import_module(f"{NAME}.api.{operation}").sync


def test_a_generated_client_does_a_whole_flow(generated: ModuleType, live_server: str, session: Session) -> None:
    """It lists presets, starts a run, looks at it, stops it and reads its checkpoints, all of it typed."""
    token = accounts.create_token(session, accounts.first_admin(session), name="generated")
    session.commit()
    models = importlib.import_module(f"{NAME}.models")
    with generated.AuthenticatedClient(live_server, token) as client:
        recipe = call("presets.list_presets")(client=client).presets[0].recipe
        make_model(session, name=recipe.model)
        run = call("runs.create_run")(client=client, body=recipe)
        looked = call("runs.get_run")(run.id, client=client)
        stopped = call("runs.stop_run")(run.id, client=client)
        checkpoint = make_checkpoint(session, get_run(session, run.id), iteration=recipe.checkpoints.every)
        found = call("runs.get_run_checkpoints")(run.id, client=client)
        refused = call("runs.get_run")(999, client=client)

    assert (looked.id, looked.recipe.to_dict()) == (run.id, recipe.to_dict())
    assert (run.state, stopped.state) == (models.RunState.QUEUED, models.RunState.CANCELLED)
    assert [each.id for each in found.checkpoints] == [checkpoint.id]
    assert isinstance(refused, models.ErrorReply)
    assert refused.error.kind == models.ErrorKind.NOT_FOUND
