"""The tutorial's recipe on an InternLM2 of random weights, through `temper up` and its worker, to a merged model."""

from pathlib import Path
from typing import Any

import pytest

from app.client import TemperClient
from app.domain.presets import TUTORIAL
from tests.conftest import wait_until
from tests.test_server import Start, first_line, start
from tests.worker.engine.test_relay import internlm2

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.filterwarnings("ignore")]

__all__ = ["internlm2", "start"]  # pytest finds fixtures by their names here

TRAINING = {"iterations": 4, "epochs": None, "accumulation": 2, "max_length": 128, "precision": "float32"}


def test_the_tutorial_s_recipe_goes_through_it_all(start: Start, home: Path, internlm2: tuple[Path, Any]) -> None:
    """Registered, laid out anew, trained in four bits on the preset's own mix, answered, converted and merged."""
    first_line(start("up", "--json", TEMPER_ENGINE="worker.engine.launch"))
    recipe = TUTORIAL.recipe.model_dump(mode="json")
    recipe["training"] |= TRAINING
    recipe["checkpoints"] |= {"every": 2, "max_new_tokens": 4}
    with TemperClient((home / "url").read_text(), (home / "token").read_text()) as client:
        source = str(internlm2[0])
        approve = client.review_model(source)["sha256"]
        client.add_model(name=recipe["model"], source=source, template="internlm2_chat", approve=approve)
        wait_until(lambda: state_of(client, recipe["model"]) != "preparing", "it is not laid out", seconds=120)

        run = client.wait(client.create_run(recipe)["id"])
        assert run["state"] == "finished", (run["reason"], client.log(run["id"]))
        checkpoints, answers = client.checkpoints(run["id"]), client.answers(run["id"])
        asked = [client.convert(checkpoints[-1]["id"]), client.merge(checkpoints[-1]["id"])]
        made = [client.wait_for_artifact(each["id"]) for each in asked]

    assert [checkpoint["iteration"] for checkpoint in checkpoints] == [0, 2, 4]
    assert len(answers) == 3 * len(recipe["probes"])
    assert [each["state"] for each in made] == ["finished", "finished"]


def state_of(client: TemperClient, name: str) -> str:
    """Return where the preparation of a model is."""
    model = client.model(name)
    return model["state"] if model is not None else "preparing"
