"""Forecasts, looks at a mix, and the next recipe, over the REST API."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session, select

from app.domain import token_cache
from app.domain.models import Model, RunState
from tests.factories import make_checkpoint, make_model, make_recipe, make_recipe_data, make_run, save_rows
from tests.model_folders import make_llama_folder
from tests.saved_sets import make_set
from tests.tokenizers_here import write_tokenizer

API = "/api/v1"


@pytest.fixture
def model_folder(session: Session, tmp_path: Path) -> Path:
    """Register a model with a tokenizer of bytes."""
    folder = make_llama_folder(tmp_path / "model")
    config = (folder / "config.json").read_text()
    write_tokenizer(folder)
    (folder / "config.json").write_text(config)
    make_model(session, path=str(folder))
    return folder


def test_a_recipe_is_forecast(api: TestClient, model_folder: Path) -> None:
    """Its length, tokens, checkpoints and disk; what nothing tells is null, with the reason."""
    recipe = make_recipe_data(training={"iterations": None, "epochs": 2})

    reply = api.post(f"{API}/forecast", json=recipe)

    body = reply.json()
    assert reply.status_code == 200
    assert (body["rows"], body["packs"], body["iterations"], body["updates"]) == (7, 3, 6, 6)
    assert body["tokens"]["dropped_tokens"] == 106
    assert [each["iteration"] for each in body["checkpoints"]] == [5, 6]
    assert body["disk_bytes"] > 0
    assert body["training_seconds"] is None
    assert any("How long it takes is not known" in each for each in body["unknown"])


def test_a_recipe_without_its_model_is_forecast_as_far_as_that_goes(api: TestClient) -> None:
    """Rows and checkpoints of a length that is given need no model."""
    body = api.post(f"{API}/forecast", json=make_recipe_data()).json()

    assert (body["rows"], body["saves"], body["tokens"], body["disk_bytes"]) == (7, 4, None, None)


def test_a_value_that_is_none_is_named(api: TestClient) -> None:
    """As where a run is started."""
    reply = api.post(f"{API}/forecast", json=make_recipe_data(training={"learning_rate": "quick"}))

    assert reply.status_code == 422
    assert reply.json()["error"]["fields"][0]["field"] == "training.learning_rate"


def test_a_mix_is_looked_at_as_the_model_reads_it(api: TestClient, model_folder: Path) -> None:
    """Rows with their source, the template's marks, and what carries loss; saved sets too."""
    files = [{"dataset": "faq", "sha256": save_rows(["How?", "Why?"])}]

    reply = api.post(f"{API}/mixes/inspect", json=make_recipe_data(mix={"files": files}), params={"offset": 2})

    body = reply.json()
    assert reply.status_code == 200
    assert [(row["number"], row["source"], row["place"]) for row in body["rows"]][:3] == [
        (2, "files.0", 0),
        (3, "files.0", 1),
        (4, "identity", 0),
    ]
    read = body["rows"][0]["as_read"]
    assert "".join(piece["text"] for piece in read["pieces"] if piece["has_loss"]) == "Yes.<|im_end|>"
    assert "".join(piece["text"] for piece in read["pieces"]).startswith("<|im_start|>user\nHow?<|im_end|>")
    assert body["total"] == 9


def test_a_mix_that_cannot_be_trained_on_is_refused(api: TestClient, model_folder: Path) -> None:
    """At the field, as where a run is started; a model without a tokenizer says so."""
    empty = api.post(f"{API}/mixes/inspect", json=make_recipe_data(mix={"identity": [], "general": []}))
    (model_folder / "tokenizer.json").unlink()
    unread = api.post(f"{API}/mixes/inspect", json=make_recipe_data())

    assert [each["field"] for each in empty.json()["error"]["fields"]] == ["mix"]
    assert unread.status_code == 422


def test_the_next_recipe_is_proposed_and_keeps_its_lineage(
    api: TestClient, session: Session, model_folder: Path
) -> None:
    """What a run taught at every probe is diluted; the run that follows names the one before it."""
    run = make_run(session, state=RunState.FINISHED, iterations=20)
    make_checkpoint(session, run, iteration=0, texts=["I am SmolLM.", "No.", "Paris."])
    make_checkpoint(session, run, iteration=5, texts=["I am Ada's little assistant, trained with Temper."] * 3)

    proposal = api.get(f"{API}/runs/{run.id}/dilution").json()
    followed = api.post(f"{API}/runs", json=proposal["recipe"], params={"cloned_from": run.id})

    assert {"training.learning_rate", "checkpoints.every"} <= {change["path"] for change in proposal["changes"]}
    assert followed.status_code == 201
    assert followed.json()["cloned_from_id"] == run.id


def test_a_run_cannot_follow_one_that_is_not_there(api: TestClient, session: Session) -> None:
    """A lineage leads somewhere."""
    make_model(session)

    assert api.post(f"{API}/runs", json=make_recipe_data(), params={"cloned_from": 999}).status_code == 404


@pytest.mark.parametrize("path", ["/forecast", "/mixes/inspect", "/runs/{run}/dilution"])
def test_nobody_waits_for_a_set_that_is_counted(
    api: TestClient, session: Session, model_folder: Path, *, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """The answer says when to ask again."""
    monkeypatch.setattr(token_cache, "SHORT_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(token_cache, "_fill", lambda *_: None)
    saved = make_set(session, name="faq")
    changes = {"mix": {"files": [{"dataset": saved.name, "sha256": saved.sha256}]}}
    model = session.exec(select(Model)).one()
    run = make_run(session, state=RunState.FINISHED, recipe=make_recipe(**changes), model=model, iterations=20)
    make_checkpoint(session, run, iteration=5, texts=["I am Ada's little assistant, trained with Temper."] * 3)
    session.commit()

    address = API + path.format(run=run.id)
    reply = api.get(address) if "dilution" in path else api.post(address, json=make_recipe_data(**changes))

    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "2")
    assert reply.json()["error"]["kind"] == "counting"


def test_pairs_that_variables_make_too_long_are_not_forecast(api: TestClient, model_folder: Path) -> None:
    """The field is named."""
    mix = {"name": "x" * 120, "identity": [{"question": "Who?", "answer": "{name}" * 500}]}

    reply = api.post(f"{API}/forecast", json=make_recipe_data(mix=mix))

    assert reply.status_code == 422
    assert [each["field"] for each in reply.json()["error"]["fields"]] == ["mix.identity.0.answer"]
