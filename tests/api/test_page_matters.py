"""What only pages could do at first: configs, workers, models that go, votes that are taken back."""

import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session, select

from app.config import settings
from app.domain import accounts, presence
from app.domain.models import Model, Role, RunState
from app.domain.presence import WorkerPresence
from app.domain.runs import id_of
from app.web import workers
from tests.factories import make_checkpoint, make_model, make_recipe_data, make_run

API = "/api/v1"


def test_xtuner_s_configs_are_found_and_read(api: TestClient) -> None:
    """By a part of the name, a page at a time; what a recipe has no setting for is named."""
    first = api.get(f"{API}/configs", params={"q": "internlm2", "limit": 2}).json()
    second = api.get(f"{API}/configs", params={"q": "internlm2", "limit": 2, "cursor": first["next_cursor"]}).json()
    config = api.get(f"{API}/configs/internlm2_chat_1_8b_qlora_alpaca_e3").json()

    assert first["total"] > 4
    assert sorted({*first["names"], *second["names"]}) == first["names"] + second["names"]
    assert config["base_model"] == "internlm/internlm2-chat-1_8b"
    assert config["values"]["training"]["max_length"] == 2048
    assert config["notes"]
    assert api.get(f"{API}/configs/none").status_code == 404


def test_the_config_of_a_recipe_is_rendered(api: TestClient, session: Session) -> None:
    """As of a run that waits; once it was trained, the file that its trainer read."""
    run = make_run(session)
    path = f"{API}/runs/{run.id}/config"

    of_recipe = api.post(f"{API}/configs", json=make_recipe_data()).text
    of_waiting = api.get(path).text
    settings().run_folder(id_of(run)).mkdir(parents=True)
    (settings().run_folder(id_of(run)) / "config.py").write_text("# as it was\n", "utf-8")

    assert "lr = 0.0005" in of_recipe
    assert "lr = 0.0005" in of_waiting
    assert api.get(path).text == "# as it was\n"


def test_a_log_comes_whole(api: TestClient, session: Session) -> None:
    """Every line of it, where the end alone is not enough; before there is one, a 404."""
    run = make_run(session, state=RunState.RUNNING, attempt=1)
    path = f"{API}/runs/{run.id}/log"
    missing = api.get(path, params={"whole": True})
    folder = settings().run_folder(id_of(run)) / "attempts" / "1"
    folder.mkdir(parents=True)
    text = "".join(f"line {number}\n" for number in range(2_000))
    (folder / "trainer.log").write_text(text, "utf-8")

    assert missing.status_code == 404
    assert api.get(path, params={"whole": True}).text == text
    assert len(api.get(path).text.splitlines()) == 200


def test_workers_are_listed(api: TestClient, session: Session) -> None:
    """With their devices, and with what there is to do."""
    make_run(session)
    make_run(session, state=RunState.RUNNING)
    presence.announce_worker(WorkerPresence("host", "CPU", 2, seen=time.time()))
    workers.forget()

    body = api.get(f"{API}/workers").json()

    assert [(each["name"], each["device"], each["slots"]) for each in body["workers"]] == [("host", "CPU", 2)]
    assert (body["running"], body["queued"]) == (1, 1)


def test_a_model_is_proposed_and_removed(api: TestClient, session: Session, tmp_path: Path) -> None:
    """By an admin alone; one that runs were made from stays."""
    used, unused = make_model(session, name="used"), make_model(session, name="unused")
    make_run(session, model=used)
    runner = accounts.add_user(session, "runner", role=Role.RUNNER)
    theirs = {"Authorization": f"Bearer {accounts.create_token(session, runner, name='t')}"}
    session.commit()
    nothing = {"source": str(tmp_path)}

    refused = [api.get(f"{API}/model-proposal", params=nothing, headers=theirs),
               api.delete(f"{API}/models/{unused.id}", headers=theirs)]  # fmt: skip
    removed = [api.delete(f"{API}/models/{each}").status_code for each in (unused.id, used.id, 99)]

    assert [reply.status_code for reply in refused] == [403, 403]
    assert removed == [204, 409, 404]
    assert session.exec(select(Model.name)).all() == ["used"]
    proposed = api.get(f"{API}/model-proposal", params=nothing)
    assert proposed.json()["error"]["fields"][0]["field"] == "source"


@pytest.fixture
def asked(session: Session) -> dict[str, Any]:
    """Make a run whose two checkpoints answer one question differently."""
    run = make_run(session, state=RunState.FINISHED)
    for iteration, text in ((0, "one"), (5, "two")):
        make_checkpoint(session, run, iteration=iteration, texts=[text, "same", "same"])
    return {"runs": str(run.id)}


def test_a_pair_is_voted_on_and_taken_back(api: TestClient, asked: dict[str, Any]) -> None:
    """The pair comes until it is voted on, and again once that is taken back."""
    pair = api.get(f"{API}/votes/pair", params=asked).json()
    ids = [each["answer_id"] for each in pair["answers"]]
    api.post(f"{API}/votes", json={"answer_ids": ids, "preferred_answer_id": ids[0]})
    none = api.get(f"{API}/votes/pair", params=asked).json()
    undone, nothing = (api.post(f"{API}/votes/undo", params=asked).json() for _ in range(2))

    assert {each["text"] for each in pair["answers"]} == {"one", "two"}
    assert none == {"question": None, "answers": None}
    assert sorted(undone["answer_ids"]) == sorted(ids)
    assert nothing["answer_ids"] is None
    assert api.get(f"{API}/votes", params=asked).json()["votes"] == []
