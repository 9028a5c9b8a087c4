"""A model's folder as a trap: code beside it, templates that reach into Python, weights that are no weights."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from app.domain import approvals
from app.domain.approval_models import ModelApproval
from app.domain.approvals import RefusedModelError, check_approved
from app.domain.chat_templates import odd_parts
from app.domain.models import ReasonKind, RunState
from app.domain.registry import look_at
from app.domain.runs import id_of
from tests.factories import attempt_of, make_recipe_data, make_run
from tests.model_folders import INTERNLM2, LLAMA, make_model_folder
from worker.gpus import Device
from worker.preparing import AttemptFolder, NotStartedError, prepare

HOSTILE = "{% for c in ''.__class__.__mro__[1].__subclasses__() %}{{ c }}{% endfor %}"
PLAIN = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}{% endfor %}"


def trap(folder: Path, canary: Path) -> Path:
    """Write a model's folder with code that leaves a canary wherever it is run."""
    config = LLAMA | {"auto_map": {"AutoConfig": "configuration_x.X", "AutoModelForCausalLM": "configuration_x.X"}}
    make_model_folder(folder, config=config)
    (folder / "configuration_x.py").write_text(f"open({str(canary)!r}, 'w')\nclass X: pass\n")
    return folder


def register(api: Any, folder: Path, **more: str) -> Any:
    """Register a folder."""
    return api.post("/api/v1/models", json={"source": str(folder), "name": folder.name, **more})


def review(api: Any, folder: Path) -> Any:
    """Look at what is dangerous in a folder."""
    return api.get("/api/v1/models/review", params={"source": str(folder)}).json()


def test_a_folder_with_code_waits_for_an_admin(api: Any, session: Session, tmp_path: Path) -> None:
    """29: It is refused with the names and the hash; approved, it is registered, and its code is still never run."""
    canary = tmp_path / "canary"
    folder = trap(tmp_path / "trap", canary)

    refused = register(api, folder)
    shown = review(api, folder)
    wrong = register(api, folder, approve="0" * 64)
    taken = register(api, folder, approve=shown["sha256"])

    assert [reply.status_code for reply in (refused, wrong, taken)] == [422, 422, 201]
    assert "configuration_x.py" in refused.text
    assert shown["sha256"] in refused.text
    assert {(each["file"], each["kind"]) for each in shown["files"]} == {
        ("config.json", "code"),
        ("configuration_x.py", "code"),
    }
    assert session.get(ModelApproval, shown["sha256"]).approved_by == "admin"
    assert not canary.exists()


def test_a_file_that_changes_takes_the_approval_away(api: Any, session: Session, tmp_path: Path) -> None:
    """29: No run is taken any more, and one that waited does not start: every file is read anew before a launch."""
    folder = trap(tmp_path / "trap", tmp_path / "canary")
    register(api, folder, approve=review(api, folder)["sha256"])
    started = api.post("/api/v1/runs", json=make_recipe_data(model="trap"))
    check_approved(session, folder)

    code = folder / "configuration_x.py"
    code.write_text(code.read_text() + "#")

    with pytest.raises(RefusedModelError, match="no admin has approved it yet"):
        check_approved(session, folder)
    again = api.post("/api/v1/runs", json=make_recipe_data(model="trap"))
    assert (started.status_code, again.status_code) == (201, 422)
    assert again.json()["error"]["fields"][0]["field"] == "model"


def test_a_run_does_not_start_from_what_nobody_approved(session: Session, tmp_path: Path) -> None:
    """29: Whatever a page did or did not check: the worker looks, and says why in words."""
    run = make_run(session, state=RunState.RUNNING)
    run.model.path = str(trap(tmp_path / "trap", tmp_path / "canary"))
    session.add(run.model)
    attempt = AttemptFolder(id_of(run), attempt_of(session, run).id or 0, 1)

    with pytest.raises(NotStartedError) as error:
        prepare(attempt, Device("cpu", "cpu-0", "CPU"))

    assert error.value.ending.reason is ReasonKind.REFUSED_MODEL
    assert "configuration_x.py" in error.value.ending.detail


def test_an_approval_is_taken_back(api: Any, session: Session, tmp_path: Path) -> None:
    """29: After which it is as if it had never been given; a hash that was never shown approves nothing."""
    folder = trap(tmp_path / "trap", tmp_path / "canary")
    sha256 = review(api, folder)["sha256"]

    guessed = api.post("/api/v1/models/approvals", json={"source": str(folder), "sha256": "a" * 64})
    given = api.post("/api/v1/models/approvals", json={"source": str(folder), "sha256": sha256})
    revoked = api.delete(f"/api/v1/models/approvals/{sha256}")

    assert [reply.status_code for reply in (guessed, given, revoked)] == [409, 201, 204]
    assert review(api, folder)["is_needed"]


def test_internlm2_takes_one_click(client: Any, session: Session, tmp_path: Path) -> None:
    """29: The user's own model brings code: the form shows its files, and one button approves and registers."""
    folder = make_model_folder(tmp_path / "internlm2-chat-1_8b", config=INTERNLM2)
    (folder / "modeling_internlm2.py").write_text("raise SystemExit\n")

    page = client.get("/models/proposal", params={"source": str(folder)}).text
    sha256 = approvals.review(session, folder).sha256
    reply = client.post("/models", data={"source": str(folder), "approve": sha256})

    assert "modeling_internlm2.py" in page
    assert f'name="approve" value="{sha256}"' in page
    assert (reply.status_code, reply.headers["location"]) == (303, "/models")


@pytest.mark.parametrize(
    "template",
    [
        HOSTILE,
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{% set k = '_' ~ '_class_' ~ '_' %}{{ messages[k] }}",
        "{{ messages | attr('x') }}",
        "{{ lipsum() }}",
        "{{ '{0.x}'.format(messages) }}",
        "{% import 'x' as y %}",
        "{% include '/etc/passwd' %}",
        "{{ '%c' % 95 }}",
        "{{ " + "(" * 5_000 + ")" * 5_000 + " }}",
    ],
    ids=range(10),
)
def test_an_odd_template_is_found_out(template: str) -> None:
    """30: Whatever is more than writing messages down; nothing of it is ever rendered."""
    assert odd_parts(PLAIN + template)


def test_a_plain_template_is_plain() -> None:
    """30: Loops, conditions, roles, dates and errors are what templates are made of."""
    plain = (
        PLAIN,
        "{{ bos_token }}{% if loop.index0 % 2 == 0 %}{{ raise_exception('x') }}{% endif %}{{ messages[::-1] }}",
        "{% set ns = namespace(at=messages|length - 1) %}{{ m.content.split('</think>')[-1].lstrip('\\n') }}",
        '{{ strftime_now("%d %b %Y") }}{% macro a(x) %}{{ x | trim }}{% endmacro %}{{ a(1) }}',
    )

    assert [odd_parts(text) for text in plain] == [[]] * len(plain)


def test_a_folder_with_an_odd_template_waits_for_an_admin(api: Any, session: Session, tmp_path: Path) -> None:
    """30: In the tokenizer's settings, in a list of several, or in a file of its own."""
    places = {
        "settings": ("tokenizer_config.json", json.dumps({"chat_template": HOSTILE})),
        "several": ("tokenizer_config.json", json.dumps({"chat_template": [{"name": "tool", "template": HOSTILE}]})),
        "file": ("chat_template.jinja", HOSTILE),
        "more": ("additional_chat_templates/tool.jinja", HOSTILE),
    }

    for name, (file, content) in places.items():
        folder = make_model_folder(tmp_path / name)
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(content)
        reply = register(api, folder)
        assert reply.status_code == 422
        assert reply.json()["error"]["fields"][0]["field"] == "approve"
        assert {each["kind"] for each in review(api, folder)["files"]} == {"template"}


@pytest.mark.parametrize("name", ["pytorch_model.bin", "training_args.bin", "x.pth", "x.pt", "x.pkl", "x.ckpt"])
def test_a_pickled_file_beside_the_weights_waits_for_an_admin(session: Session, tmp_path: Path, name: str) -> None:
    """29: Whoever reads it can be made to run code."""
    folder = make_model_folder(tmp_path / "model")
    (folder / name).write_bytes(b"\x80\x04.")

    looked_at = approvals.review(session, folder)

    assert looked_at.is_needed
    assert [danger.file for danger in looked_at.dangers] == [name]


def weights(header: object, *, length: int | None = None, body: int = 24) -> bytes:
    """Return a safetensors file with this header, which may say another length."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(body)


TENSOR = {"dtype": "F16", "shape": [3, 4], "data_offsets": [0, 24]}
BAD_WEIGHTS = {
    "2^63": weights({"a": TENSOR}, length=1 << 63),
    "longer": weights({"a": TENSOR}, length=1_000),
    "overlapping": weights({"a": TENSOR, "b": {**TENSOR, "data_offsets": [12, 24]}}),
    "beyond": weights({"a": {**TENSOR, "data_offsets": [0, 25]}}),
    "backwards": weights({"a": {**TENSOR, "data_offsets": [24, 0]}}),
    "negative": weights({"a": {**TENSOR, "data_offsets": [-8, 24]}}),
    "no-number": weights({"a": {**TENSOR, "data_offsets": ["0", 24]}}),
    "no-place": weights({"a": {"dtype": "F16", "shape": [3, 4]}}),
    "list": weights([1]),
    "nested": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "short": b"\x01",
}


@pytest.mark.parametrize("kind", BAD_WEIGHTS)
def test_weights_that_lie_about_themselves_are_refused(session: Session, tmp_path: Path, kind: str) -> None:
    """31: Before anything maps them: when they are registered, and before every launch."""
    folder = make_model_folder(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(BAD_WEIGHTS[kind])

    with pytest.raises(Exception, match="source") as refused:
        look_at(str(folder))
    assert "is not a safetensors file" in str(refused.value.fields[0].message)  # type: ignore[attr-defined]
    with pytest.raises(RefusedModelError):
        check_approved(session, folder)
