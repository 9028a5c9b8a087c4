"""What is typed into a launch: names, values and settings that were made to do something else."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, select

from app.config import settings
from app.domain.models import Run, RunState
from app.domain.runs import id_of
from tests.factories import attempt_of, make_model, make_recipe, make_recipe_data, make_run
from worker.gpus import Device
from worker.preparing import AttemptFolder, prepare

SHELL = (
    "; rm -rf ~",
    "$(id)",
    "`id`",
    "a\nid",
    "x && id",
    "| id",
    "../../../x",
    "--cfg-options x=1",
    "-rf",
    "\u202e/x",
)
_started: list[list[str]] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _started is not None and event in {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"}:
        _started.append([str(part) for part in arguments])


sys.addaudithook(_note)  # Python's own: no call that starts a program goes past it


@pytest.fixture
def started() -> Iterator[list[list[str]]]:
    """Return the programs that this process starts, as they come."""
    global _started  # noqa: PLW0603 - an audit hook can never be taken away again, only told to rest
    _started = []
    yield _started
    _started = None


def problems_of(reply: Any) -> dict[str, str]:
    """Return the sentences of a refusal, by field."""
    assert reply.status_code == 422, reply.text
    return {each["field"]: each["message"] for each in reply.json()["error"]["fields"]}


def post(api: Any, **changes: Any) -> Any:
    """Ask for a run of a small recipe with some changes."""
    return api.post("/api/v1/runs", json=make_recipe_data(**changes))


def test_a_name_is_words_and_nothing_else(api: Any, session: Session, started: list[list[str]]) -> None:
    """16: No shell sees a run's name: it starts no program, names no folder, and comes back as it was typed."""
    make_model(session)

    replies = [post(api, name=words, mix={"name": words, "system": words}) for words in SHELL]

    assert [reply.status_code for reply in replies] == [201] * len(SHELL)
    assert [reply.json()["name"] for reply in replies] == [words.strip() for words in SHELL]
    assert started == []
    for run in session.exec(select(Run)):
        assert settings().run_folder(id_of(run)) == settings().runs_folder / str(run.id)


def test_what_is_prepared_for_a_trainer_starts_nothing(session: Session, started: list[list[str]]) -> None:
    """16: Where a worker writes the files of such a run, no program is started and no file is anywhere else."""
    words = " ".join(SHELL)[:120].strip()
    run = make_run(session, recipe=make_recipe(name=words, mix={"system": words}), state=RunState.RUNNING)
    attempt = AttemptFolder(id_of(run), attempt_of(session, run).id or 0, 1)

    prepare(attempt, Device("cpu", "cpu-0", "CPU"))

    assert started == []
    assert {path.name for path in settings().runs_folder.iterdir()} == {str(run.id)}
    assert json.loads((attempt.run_folder / "recipe.json").read_text("utf-8"))["name"] == words


def test_nothing_that_names_a_file_begins_like_an_option(api: Any, session: Session) -> None:
    """17: A model's source, name and template, and a set's hash: what may reach a command line or a path."""
    for words in ("--cfg-options", "-x", "--config=/etc/passwd"):
        _check_refused(api, words)


def _check_refused(api: Any, words: str) -> None:
    model = problems_of(api.post("/api/v1/models", json={"source": words, "name": words, "template": words}))
    rows = problems_of(post(api, mix={"files": [{"dataset": "x", "sha256": words}]}))

    assert set(model) == {"source", "name", "template"}
    assert set(rows) == {"mix.files.0.sha256"}


def test_there_is_no_field_for_options(api: Any, session: Session) -> None:
    """18: `--cfg-options model.llm.type=os.system` has no way in: an unknown field is refused by its name."""
    make_model(session)
    value = "model.llm.type=os.system"

    for field in ("cfg_options", "cfg-options", "config", "args", "model.llm.type", "env"):
        for changes in ({field: value}, {"training": {field: value}}, {"checkpoints": {field: value}}):
            problems = problems_of(post(api, **changes))
            assert any(name.endswith(field) for name in problems), problems


def test_no_text_becomes_a_part_of_a_command_line(
    session: Session, monkeypatch: pytest.MonkeyPatch, fake_child: list[list[str]]
) -> None:
    """18: What a trainer is started with are its own words, ids, hashes and folders that Temper chose."""
    from worker.preparing import start_trainer

    words = "--cfg-options model.llm.type=os.system"
    recipe = make_recipe(name=words, mix={"system": words, "name": words}, probes=[{"question": words}])
    run = make_run(session, recipe=recipe, state=RunState.RUNNING)
    attempt = AttemptFolder(id_of(run), attempt_of(session, run).id or 0, 1)

    start_trainer(attempt, Device("cpu", "cpu-0", "CPU"))

    (arguments,) = fake_child
    assert not any("cfg-options" in each for each in arguments)
    assert arguments[:3] == ["train", "config.py", "--work-dir"]


@pytest.fixture
def fake_child(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Take the place of what starts a child; return what it is asked to start with."""
    from worker import preparing

    asked: list[list[str]] = []

    class Child:
        pid = 1

    def start(arguments: list[str], **_: Any) -> Child:
        asked.append(list(arguments))
        return Child()

    monkeypatch.setattr(preparing, "start_child", start)
    return asked


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("training.learning_rate", {"training": {"learning_rate": "NaN"}}),
    ("training.learning_rate", {"training": {"learning_rate": "1e309"}}),
    ("training.learning_rate", {"training": {"learning_rate": -1}}),
    ("training.learning_rate", {"training": {"learning_rate": 0}}),
    ("training.epochs", {"training": {"iterations": None, "epochs": 0}}),
    ("training.iterations", {"training": {"iterations": 10**9}}),
    ("training.lora.r", {"training": {"lora": {"r": 10**9}}}),
    ("training.lora.r", {"training": {"lora": {"r": 2**63}}}),
    ("training.max_length", {"training": {"max_length": 0}}),
    ("training.batch_size", {"training": {"batch_size": 2, "varlen_attention": True}}),
    ("training.warmup_ratio", {"training": {"warmup_ratio": "Infinity"}}),
    ("checkpoints.every", {"checkpoints": {"every": 0}}),
    ("mix.identity_count", {"mix": {"identity_count": -1}}),
]


def test_a_number_that_no_training_survives_is_refused(api: Any, session: Session) -> None:
    """36: Before anything is queued, and the field is named."""
    make_model(session)

    for field, changes in WRONG:
        assert field in problems_of(post(api, **changes)), changes
    assert session.exec(select(Run)).all() == []


def test_a_number_that_json_does_not_have_is_refused(api: Any, session: Session) -> None:
    """36: As a bare word in the body, too."""
    make_model(session)
    body = json.dumps(make_recipe_data(training={"learning_rate": 12345}))

    for literal in ("NaN", "Infinity", "-Infinity", "1e309"):
        content = body.replace("12345", literal)
        reply = api.post("/api/v1/runs", content=content, headers={"Content-Type": "application/json"})
        assert reply.status_code == 422
    assert session.exec(select(Run)).all() == []


def test_nobody_chooses_a_gpu_by_its_number(api: Any, session: Session) -> None:
    """37: A worker lends a device that it found itself; there is no field that names one."""
    make_model(session)

    for field in ("gpu", "gpu_index", "device", "cuda_visible_devices"):
        for value in ("0;id", "99", "-1", "", -1):
            assert field in problems_of(post(api, **{field: value}))


@pytest.mark.parametrize("value", ["0;id", "99", "-1", "", "cuda:0"])
def test_the_setting_takes_a_kind_of_device_and_no_number(
    home: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """37: What it is given goes to no shell and no environment."""
    from pydantic import ValidationError

    from app.config import Settings

    monkeypatch.setenv("TEMPER_DEVICE", value)

    with pytest.raises(ValidationError, match="device"):
        Settings()
