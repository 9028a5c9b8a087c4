"""Models, presets, health, and the description of the API."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.domain import presence
from app.domain.recipes import Recipe
from tests.factories import make_model


def test_models_are_listed(api: TestClient, session: Session) -> None:
    """Every model is there with its template and its state."""
    model = make_model(session)

    (listed,) = api.get("/api/v1/models").json()["models"]

    assert (listed["name"], listed["template"], listed["state"]) == ("smollm2", "qwen_chat", "ready")
    assert api.get(f"/api/v1/models/{model.id}").json() == listed
    assert api.get("/api/v1/models/999").status_code == 404


def test_a_model_is_registered(api: TestClient, home: Path) -> None:
    """A folder in Hugging Face form is linked, and its template proposed."""
    folder = home / "elsewhere" / "tiny"
    folder.mkdir(parents=True)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1,
              "vocab_size": 16, "intermediate_size": 16, "num_attention_heads": 2}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text("{}")
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))

    reply = api.post("/api/v1/models", json={"source": str(folder), "name": "tiny", "template": "qwen_chat"})

    assert reply.status_code == 201, reply.text
    assert api.get(reply.headers["location"]).json()["name"] == "tiny"
    assert (home / "models" / "tiny").resolve() == folder.resolve()


@pytest.mark.parametrize("source", ["", "/nowhere", "relative/../../etc", "/etc/passwd", "/dev/zero", "nobody/nothing"])
def test_what_is_no_model_is_named(api: TestClient, source: str) -> None:
    """A source that no run could start from is refused at its field."""
    reply = api.post("/api/v1/models", json={"source": source})

    assert reply.status_code == 422
    assert reply.json()["error"]["fields"][0]["field"] == "source"


def test_presets_are_recipes(api: TestClient) -> None:
    """Each preset's recipe can be posted as it is."""
    presets = api.get("/api/v1/presets").json()["presets"]

    assert len(presets) >= 3
    for preset in presets:
        Recipe.model_validate(preset["recipe"])


def test_health_needs_no_login(anonymous: TestClient) -> None:
    """A probe learns that the process lives and can work."""
    assert anonymous.get("/healthz").json() == {"status": "ok"}
    assert anonymous.get("/readyz").json() == {"database": "ok", "queue": "ok"}


def test_readiness_names_what_is_down(anonymous: TestClient, home: Path) -> None:
    """Without the queue the process lives and cannot work."""
    (home / "redis.sock").unlink()
    presence.redis().connection_pool.disconnect()
    reply = anonymous.get("/readyz")

    assert (reply.status_code, reply.json()) == (503, {"database": "ok", "queue": "down"})
    assert anonymous.get("/healthz").status_code == 200


# ── The description ────────────────────────────────────────────────────────


@pytest.fixture
def document(api: TestClient) -> dict[str, Any]:
    """Return the API's own description."""
    found: dict[str, Any] = api.get("/api/v1/openapi.json").json()
    return found


OPERATIONS = {
    "create_run", "list_runs", "get_run", "stop_run", "resume_run", "move_run", "watch_run", "get_run_metrics",
    "get_run_checkpoints", "get_run_answers", "get_run_mix", "get_run_card", "get_run_log", "get_run_config",
    "convert_checkpoint", "merge_checkpoint", "pin_checkpoint", "unpin_checkpoint", "get_artifact",
    "download_artifact", "get_comparison", "inspect_mix", "save_mix", "forecast", "get_dilution", "get_thresholds",
    "put_thresholds", "upload_dataset", "list_datasets", "get_dataset", "get_dataset_rows", "download_dataset",
    "delete_dataset", "get_findings", "repair_dataset", "create_sweep", "forecast_sweep", "list_sweeps", "get_sweep",
    "stop_sweep", "change_sweep", "add_run_probe", "get_run_probes", "get_run_askings", "request_run_asking",
    "propose_run_near_misses", "propose_recipe_near_misses", "put_rating", "delete_rating", "list_ratings",
    "create_vote", "undo_vote", "get_pair", "list_votes", "list_models", "add_model", "get_model", "propose_model",
    "remove_model", "list_presets", "list_configs", "get_config", "render_recipe", "list_workers", "get_health",
    "get_readiness", "import_run", "list_webhooks", "add_webhook", "get_webhook", "change_webhook", "remove_webhook",
    "send_webhook_test", "list_webhook_deliveries", "send_webhook_delivery_again", "get_webhook_payload",
    "get_account", "end_login", "end_other_logins", "list_tokens", "create_token", "revoke_token", "list_users",
    "add_user", "get_user", "change_user_role", "disable_user", "enable_user", "link_user", "end_user_logins",
    "list_audit_entries", "review_source", "list_approvals", "approve_files", "revoke_approval",
}  # fmt: skip


def operations_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return every operation by its id."""
    return {operation["operationId"]: operation for path in document["paths"].values() for operation in path.values()}


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    """Each operation has a name of its own, a summary, a description, a tag that is explained, and typed answers."""
    operations = operations_of(document)
    tags = {tag["name"] for tag in document["tags"]}

    assert set(operations) == OPERATIONS
    for name, operation in operations.items():
        assert operation["summary"], name
        assert operation["description"], name
        assert set(operation["tags"]) <= tags, name
        assert {"200", "201", "202", "204"} & operation["responses"].keys()


def test_every_failure_has_one_shape(document: dict[str, Any]) -> None:
    """What is no success is described once, with an example; nothing of the framework's own shape is left."""
    assert "HTTPValidationError" not in document["components"]["schemas"]
    shapes = {
        answer["content"]["application/json"]["schema"]["$ref"]
        for operation in operations_of(document).values()
        for status, answer in operation["responses"].items()
        if status >= "4" and "content" in answer and operation.get("security")
    }

    assert shapes == {"#/components/schemas/ErrorReply"}
    assert document["components"]["schemas"]["ErrorReply"]["example"]["error"]["kind"] == "invalid"


def test_a_token_is_asked_for(document: dict[str, Any]) -> None:
    """The description says that a token is needed, everywhere but for health."""
    open_operations = {name for name, operation in operations_of(document).items() if not operation.get("security")}

    assert open_operations == {"get_health", "get_readiness"}


def test_a_recipe_s_settings_are_described(document: dict[str, Any]) -> None:
    """Each setting has its title, help, bounds and default."""
    rate = document["components"]["schemas"]["Training"]["properties"]["learning_rate"]

    assert rate["title"] == "Learning rate"
    assert rate["default"] == 2e-4
    assert rate["exclusiveMinimum"] == 0
    body = operations_of(document)["create_run"]["requestBody"]["content"]["application/json"]
    for example in body["examples"].values():
        Recipe.model_validate(example["value"])
