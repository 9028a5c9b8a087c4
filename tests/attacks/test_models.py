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
from app.domain.model_dangers import dangers_of
from app.domain.model_folders import MAX_JSON_BYTES
from app.domain.models import ReasonKind, RunState
from app.domain.registry import look_at
from app.domain.runs import id_of
from tests.factories import attempt_of, make_recipe_data, make_run
from tests.model_folders import INTERNLM2, LLAMA, make_model_folder
from worker.gpus import Device
from worker.preparing import AttemptFolder, NotStartedError, prepare

HOSTILE = "{% for c in ''.__class__.__mro__[1].__subclasses__() %}{{ c }}{% endfor %}"
PLAIN = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}{% endfor %}"

PLAIN_TOOLS = """{%- if tools %}{{- '<|im_start|>system\\n' }}{%- if messages[0]['role'] == 'system' %}
{{- messages[0].content + '\\n\\n' }}{%- endif %}{%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
{%- endif %}{%- for message in messages %}{%- if (message.role == "user") or (message.role == "assistant" and not
message.tool_calls) %}{{- '<|im_start|>' + message.role }}{%- for tool_call in message.tool_calls %}
{%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}
{{- '{"name": "' }}{{- tool_call.name }}{{- tool_call.arguments | tojson }}{%- endfor %}
{%- elif message.role == "tool" %}
{%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
{%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}{%- endif %}
{%- endfor %}"""  # as Qwen 2.5 has it
PLAIN_THOUGHTS = """{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}{%- if ns.multi_step_tool and
message.content is string and not(message.content.startswith('<a>') and message.content.endswith('</a>')) %}
{%- set ns.multi_step_tool = false %}{%- set ns.last_query_index = index %}{{ messages[index].role }}
{{ messages[ns.last_query_index] }}{%- endif %}{%- set content = message.content %}
{%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}{{ reasoning }}
{%- endfor %}"""  # as Qwen 3 has it
PLAIN_TURNS = """{%- if messages[0]["role"] == "system" %}{%- set system = messages[0]["content"]|trim %}
{%- set messages = messages[1:] %}{%- else %}{%- set loop_messages = messages %}{%- endif %}{%- set ns = namespace() %}
{%- set ns.index = 0 %}{%- if not date_string is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- endif %}
{%- for message in messages %}{%- if (message["role"] == "user") != (ns.index % 2 == 0) %}{{- raise_exception("x") }}
{%- endif %}{%- set ns.index = ns.index + 1 %}{%- for key, val in message.items() if key != "return" %}
{{- '"' + key + '": ' + message[key] | tojson }}{%- if not loop.last %}, {% endif %}{%- endfor %}
{%- for name, value in message.tool_calls[0].arguments | items %}{{ name + '=' + value }}{%- endfor %}
{{ messages[0]['content'][0]['text'] + '\\n' }}{{ message.content[:-1] }}{%- endfor %}"""  # Mistral, Llama 3, Gemma
PLAIN_TYPES = """{%- macro kind(spec) %}{%- set basic = {"string": "str", "number": "float"} %}
{%- if basic[spec.type] is defined %}{{- basic[spec.type] }}{%- elif spec.type == "array" %}
{{- "list[" + kind(spec|items) + "]" }}{%- else %}{%- for t in spec.type %}{{- kind({"type": t}) }}{%- endfor %}
{%- endif %}{%- endmacro %}{%- for tool in tools %}{%- for name, fields in tool.parameters.properties|items %}
{{- name + ": " + kind(fields) + kind(tool.parameters.properties[name]) }}{%- endfor %}{%- endfor %}"""  # Hermes


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
        "{% set range = cycler[dict(__init__=1)|first]['os'].popen %}{{ range('id') }}",
        "{{ messages[dict(__init__=1)|first] }}",
        "{% set range = messages %}{{ range() }}",
        "{% for namespace in messages %}{{ namespace() }}{% endfor %}",
        "{% macro a(dict) %}{{ dict() }}{% endmacro %}{{ a(messages) }}",
        "{% macro a() %}{% endmacro %}{% set a = messages %}{{ a() }}",
        "{% set ns = namespace() %}{% set ns.get = messages %}{{ ns.get('id') }}",
        "{{ {'strip': messages}.strip('id') }}",
        "{{ {messages: messages} }}",
        "{{ dict([('strip', messages)]).strip('id') }}",
        "{{ raise_exception(*messages) }}",
        "{% set u = 'x_x'[1] %}{% set k = u ~ u ~ 'class' ~ u ~ u %}{{ messages[k] }}",
        "{% for k in ['x_x'[1] * 2 ~ 'class'] %}{{ messages[k] }}{% endfor %}",
        "{% set s = 'x_module' %}{% set k = s[1:] %}{{ messages[k] }}",
        "{% set k %}_{{ '' }}_class_{{ '' }}_{% endset %}{{ messages[k] }}",
        "{% set ns = namespace(a='x') %}{% set ns.a = ns.a ~ 'y' %}{{ messages[ns.a] }}",
        "{% macro a() %}x{% endmacro %}{{ messages[a()] }}",
        "{% macro a(k) %}{{ messages[k] }}{% endmacro %}{{ a('x' ~ 'y') }}",
        "{{ messages[bos_token] }}",
        "{{ messages | join(',', 'x' ~ 'y') }}",
        "{{ ([1] | unique).gi_frame.f_builtins }}",
        "{{ self }}",
        "{% macro a() %}{{ caller }}{% endmacro %}",
        "{{ " + "(" * 5_000 + ")" * 5_000 + " }}",
    ],
    ids=range(33),
)
def test_an_odd_template_is_found_out(template: str) -> None:
    """30: Whatever is more than writing messages down; nothing of it is ever rendered."""
    assert odd_parts(PLAIN + template)


def test_names_that_stand_for_each_other_take_no_time() -> None:
    """30: Each is looked at once, however many ways lead to it."""
    chain = "".join(f"{{% set a{n} = a{n + 1}[a{n + 1}] %}}" for n in range(200))

    assert odd_parts(chain + "{% set a200 = messages %}{{ messages[a0] }}") == []
    assert odd_parts(chain + "{% set a200 = 'x' ~ 'y' %}{{ messages[a0] }}")


def test_a_plain_template_is_plain() -> None:
    """30: Loops, conditions, roles, dates and errors are what templates are made of."""
    plain = (
        PLAIN,
        "{{ bos_token }}{% if loop.index0 % 2 == 0 %}{{ raise_exception('x') }}{% endif %}{{ messages[::-1] }}",
        "{% set ns = namespace(at=messages|length - 1) %}{{ m.content.split('</think>')[-1].lstrip('\\n') }}",
        '{{ strftime_now("%d %b %Y") }}{% macro a(x) %}{{ x | trim }}{% endmacro %}{{ a(1) }}',
        *(PLAIN_TOOLS, PLAIN_THOUGHTS, PLAIN_TURNS, PLAIN_TYPES),
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
    assert [(danger.file, danger.kind) for danger in looked_at.dangers] == [(name, "pickle")]


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


ODD_FILES = ("libx.so.1", "w.npy", "weights", "m.gguf", "a.keras", "b.h5", "c.nemo", "d.pyz", "sub/e.onnx")
PLAIN_FILES = (
    *("LICENSE", "README.md", "USE_POLICY.md", ".gitattributes", "NOTICE.txt", "tokenizer.model", "qwen.tiktoken"),
    *("logo.PNG", "merges.txt", "figures/a.jpg", "data.jsonl", "paper.pdf", "recipe.yaml", "chat_template.jinja"),
)


@pytest.mark.parametrize("name", ODD_FILES)
def test_a_file_of_an_unknown_kind_waits_for_an_admin(tmp_path: Path, name: str) -> None:
    """29: What is not known to be plain is named, wherever it lies."""
    folder = make_model_folder(tmp_path / "model")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"\x80\x04.")

    found = dangers_of(folder)

    assert [danger.file for danger in found] == [name]
    assert name in str(found[0].reason)


def test_what_comes_beside_a_model_is_plain(tmp_path: Path) -> None:
    """29: Licences, pictures, vocabularies, texts; and JSON that is no object, or large."""
    folder = make_model_folder(tmp_path / "model")
    for name in PLAIN_FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\n")
    (folder / "special.json").write_text('["a", 1, null]')
    (folder / "vocab.json").write_text('{"auto_map": 7, "chat_template": 8, "_attn_implementation": 9}')
    (folder / "tokenizer.json").write_text(
        json.dumps({"model": {"vocab": {"w" * 99 + str(n): n for n in range(200_000)}}})
    )

    assert dangers_of(folder) == []


def test_a_cloned_folder_needs_nobody(tmp_path: Path) -> None:
    """29: What git keeps of a clone is never loaded; a folder of that name further in is looked at like any."""
    for place in (tmp_path / ".git", tmp_path / "sub" / ".git"):
        place.mkdir(parents=True)
        (place / "index").write_bytes(b"DIRC")

    assert [danger.file for danger in dangers_of(tmp_path)] == ["sub/.git/index"]


def test_a_pickled_file_by_a_plain_name_waits_for_an_admin(tmp_path: Path) -> None:
    """29: An index of weights may name any file."""
    folder = make_model_folder(tmp_path / "model")
    (folder / "notes.txt").write_bytes(b"\x80\x04.")

    assert [danger.file for danger in dangers_of(folder)] == ["notes.txt"]


@pytest.mark.parametrize(
    "content",
    [b'\xef\xbb\xbf{"auto_map": {}}', b'{"x": "\xff"}', b"[" * 200_000, b"{", b" " * (MAX_JSON_BYTES + 1)],
    ids=["bom", "latin", "nested", "cut", "large"],
)
def test_json_that_cannot_be_read_waits_for_an_admin(tmp_path: Path, content: bytes) -> None:
    """29: Others may read in it what Temper does not."""
    folder = make_model_folder(tmp_path / "model")
    (folder / "tokenizer_config.json").write_bytes(content)

    found = dangers_of(folder)

    assert [danger.file for danger in found] == ["tokenizer_config.json"]
    assert "tokenizer_config.json cannot be read as JSON" in str(found[0].reason)


@pytest.mark.parametrize(
    "settings",
    [
        {"text_config": {"_attn_implementation": "evil/kernel"}},
        {"text_config": {"auto_map": {"AutoModel": "x.Y"}}},
        {"parts": [{"attn_implementation": {"text": "evil/kernel"}}]},
        {"chat_template": {"default": HOSTILE}},
        {"processor": {"chat_template": [{"name": "a", "template": HOSTILE}]}},
    ],
    ids=range(5),
)
@pytest.mark.parametrize("file", ["config.json", "sub/settings.json"])
def test_settings_inside_of_others_wait_for_an_admin(tmp_path: Path, file: str, settings: dict[str, Any]) -> None:
    """29: However deep they lie, and in whichever folder."""
    folder = make_model_folder(tmp_path / "model")
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(json.dumps(settings))

    assert {danger.file for danger in dangers_of(folder)} == {file}
