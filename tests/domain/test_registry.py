"""Registering models: what is read of a folder, what is refused, what is linked."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, select

from app.config import settings
from app.domain.columns import utc_now
from app.domain.errors import ConflictError, InvalidError, NotFoundError
from app.domain.model_dangers import dangers_of, fingerprint_of
from app.domain.model_folders import propose_template, read_model
from app.domain.models import Model, ModelState
from app.domain.queue import QueueMessage
from app.domain.registry import Approval, get_model, list_models, look_at, register_model, remove_model
from tests.databases import two_at_once
from tests.factories import make_model, make_run
from tests.model_folders import INTERNLM2, LLAMA, make_model_folder


def refusal(source: object) -> str:
    """Return the sentence with which a source is refused."""
    with pytest.raises(InvalidError) as caught:
        look_at(str(source))
    (problem,) = caught.value.fields
    assert problem.field == "source"
    return str(problem.message)


# ── Reading a folder ───────────────────────────────────────────────────────


def test_a_folder_says_what_it_holds(tmp_path: Path) -> None:
    """Parameters are counted from the headers of every file that the index names."""
    folder = make_model_folder(tmp_path / "two", files=2)
    (folder / "stray.safetensors").write_bytes(b"not counted")

    facts = read_model(folder)

    assert (facts.architecture, facts.parameters) == ("LlamaForCausalLM", 24)
    assert facts.size_bytes == sum((folder / f"model-{number}.safetensors").stat().st_size for number in range(2))


REFUSED = {
    "no-config": ("There is no config.json", lambda folder: (folder / "config.json").unlink()),
    "unreadable-config": ("cannot be read", lambda folder: (folder / "config.json").write_text("[1")),
    "no-tokenizer": ("There is no tokenizer", lambda folder: (folder / "tokenizer.json").unlink()),
    "pickled": ("pickled", lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin")),
    "gguf": ("GGUF", lambda folder: (folder / "model.safetensors").rename(folder / "model.gguf")),
    "no-weights": ("There are no weights", lambda folder: (folder / "model.safetensors").unlink()),
    "lfs-pointer": ("Git LFS", lambda folder: (folder / "model.safetensors").write_text("version https://git-lfs")),
    "empty-weights": ("is not a safetensors file", lambda folder: (folder / "model.safetensors").write_bytes(b"")),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_train_is_refused_in_words(tmp_path: Path, kind: str) -> None:
    """Each reason has its own sentence."""
    sentence, damage = REFUSED[kind]
    folder = make_model_folder(tmp_path / kind)
    damage(folder)

    assert sentence in refusal(folder)


REFUSED_CONFIGS: list[tuple[dict[str, Any], str]] = [
    (LLAMA | {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "own.Own"}}, "runs code of its own"),
    ({"architectures": ["BertModel"], "model_type": "bert"}, "kind BertModel"),
    (LLAMA | {"quantization_config": {"quant_method": "gptq"}}, "quantised already (gptq)"),
    ({}, "models that write text"),
]


@pytest.mark.parametrize(("config", "sentence"), REFUSED_CONFIGS, ids=["own-code", "encoder", "quantised", "empty"])
def test_a_config_that_cannot_train_is_refused(tmp_path: Path, config: dict[str, Any], sentence: str) -> None:
    """The config alone says that nothing would come of it."""
    assert sentence in refusal(make_model_folder(tmp_path / "model", config=config))


def test_code_beside_a_model_that_transformers_knows_is_not_run_and_not_refused(tmp_path: Path) -> None:
    """Phi-3 carries its own code for old versions; the library's own is used."""
    config = {"architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "auto_map": {"AutoConfig": "x.Y"}}

    assert look_at(str(make_model_folder(tmp_path / "phi", config=config))).facts.template == "phi3_chat"


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    """A download that was cut short says which file it lacks."""
    folder = make_model_folder(tmp_path / "cut", files=3)
    (folder / "model-1.safetensors").unlink()

    assert "model-1.safetensors is missing" in refusal(folder)


def test_an_index_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    """Names in a downloaded file are data: a path among them is refused."""
    folder = make_model_folder(tmp_path / "index", files=2)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../secret"}}))

    assert "outside of this folder" in refusal(folder)


def test_the_folder_above_a_model_says_which_one_is_meant(tmp_path: Path) -> None:
    """A clone of several models has its config one level down."""
    make_model_folder(tmp_path / "inner")

    assert f"Did you mean {tmp_path / 'inner'}?" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("", "Give a folder"),
        ("models/x/y", "whole path"),
        ("/nowhere/at/all", "There is no folder"),
        ("owner/name", "hf download owner/name"),
        ("~nosuchuser/x", "a user who is not on this machine"),
        ("/" + "a" * 4_000, "cannot be read: File name too long"),
        ("/a\0b", "There is no folder"),
    ],
)
def test_a_source_that_leads_nowhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, sentence: str
) -> None:
    """The sentence says what to do instead."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))

    assert sentence in refusal(source)


def test_a_hub_id_is_found_in_the_hub_s_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hub's own tools have fetched needs no path."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    repository = tmp_path / "hub" / "models--owner--Name-1B"
    make_model_folder(repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")

    found = look_at("owner/Name-1B")

    assert (found.name, found.facts.parameters) == ("Name-1B", 12)


CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}{% endfor %}"
TEMPLATE_CASES: Sequence[tuple[dict[str, Any], str, str, str]] = [
    (LLAMA, "SmolLM2-135M-Instruct", CHATML, "qwen_chat"),
    (INTERNLM2, "internlm2-chat-1_8b", CHATML, "internlm2_chat"),
    ({"model_type": "qwen2"}, "Qwen2.5-0.5B", "", "qwen_chat"),
    (LLAMA, "Meta-Llama-3-8B-Instruct", "<|start_header_id|>", "llama3_chat"),
    (LLAMA, "Llama-2-7b-chat-hf", "", "llama2_chat"),
    ({"model_type": "mistral"}, "Mistral-7B-Instruct", "[INST]", "mistral"),
    ({"model_type": "mistral"}, "zephyr-7b-beta", "", "zephyr"),
    ({"model_type": "gemma2"}, "gemma-2-2b-it", "<start_of_turn>", "gemma"),
    ({"model_type": "phi3"}, "Phi-3-mini", "<|user|>", "phi3_chat"),
    (LLAMA, "who-knows", "", "default"),
]


@pytest.mark.parametrize(
    ("config", "name", "chat", "template"), TEMPLATE_CASES, ids=[case[1] for case in TEMPLATE_CASES]
)
def test_the_template_that_fits_is_proposed(config: dict[str, Any], name: str, chat: str, template: str) -> None:
    """By what the chat template writes, the model's type, or its name."""
    assert propose_template(config, name=name, chat_template=chat) == template


# ── Registering ────────────────────────────────────────────────────────────


def test_a_folder_is_linked_and_ready_at_once(session: Session, tmp_path: Path, enqueued: list[QueueMessage]) -> None:
    """Nothing is copied: what the trainer loads is a link to what was given."""
    folder = make_model_folder(tmp_path / "small", chat_template=CHATML)

    model = register_model(session, source=str(folder))

    assert (model.name, model.template, model.state) == ("small", "qwen_chat", ModelState.READY)
    assert Path(model.path) == settings().models_folder / "small"
    assert Path(model.path).is_symlink()
    assert Path(model.path).resolve() == folder.resolve()
    assert enqueued == []


def test_internlm2_is_handed_to_a_worker(session: Session, tmp_path: Path, enqueued: list[QueueMessage]) -> None:
    """It trains without code of its own only after its weights are laid out as Llama."""
    folder = make_model_folder(tmp_path / "internlm2-chat-1_8b", config=INTERNLM2)

    approval = Approval(fingerprint_of(dangers_of(folder)), by="admin")
    model = register_model(session, source=str(folder), name="mine", approval=approval)

    assert (model.state, model.template, model.path) == (ModelState.PREPARING, "internlm2_chat", "")
    assert model.source == str(folder)
    assert enqueued == [QueueMessage("models.prepare", {"model_id": model.id or 0})]
    assert not (settings().models_folder / "mine").exists()


def test_everything_wrong_is_named_at_once(session: Session) -> None:
    """Source, name and template each at their field; nothing is stored."""
    with pytest.raises(InvalidError) as caught:
        register_model(session, source="/nowhere", name="../up", template="esperanto")

    assert [problem.field for problem in caught.value.fields] == ["source", "name", "template"]
    assert list_models(session) == []


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "a b", "x" * 81, "-dash"])
def test_a_name_is_the_name_of_a_folder(session: Session, tmp_path: Path, name: str) -> None:
    """Nothing that could lead elsewhere, or be mistaken for an option."""
    folder = make_model_folder(tmp_path / "model")

    with pytest.raises(InvalidError) as caught:
        register_model(session, source=str(folder), name=name)

    assert [problem.field for problem in caught.value.fields] == ["name"]


def test_a_name_is_given_once(session: Session, tmp_path: Path) -> None:
    """Upper or lower case: a folder's name may not tell them apart."""
    folder = make_model_folder(tmp_path / "model")
    register_model(session, source=str(folder), name="Small")

    with pytest.raises(InvalidError, match="name"):
        register_model(session, source=str(folder), name="small")


def test_a_name_is_given_once_to_two_who_ask_at_once(session: Session, tmp_path: Path) -> None:
    """Who comes while the first one's transaction is open is told so, and the first one's link stays what it was."""
    first, second = (make_model_folder(tmp_path / name) for name in ("first", "second"))

    _, refused = two_at_once(
        lambda work: register_model(work, source=str(first), name="small").name,
        lambda work: register_model(work, source=str(second), name="small").name,
    )

    assert isinstance(refused, InvalidError)
    assert [Path(model.path).resolve() for model in list_models(session)] == [first]


def test_a_link_that_was_left_can_be_registered_itself(session: Session, tmp_path: Path) -> None:
    """Its target is linked, under the same name."""
    link, folder = settings().models_folder / "small", make_model_folder(tmp_path / "elsewhere")
    link.parent.mkdir()
    link.symlink_to(folder)

    model = register_model(session, source=str(link))

    assert Path(model.path).resolve() == folder


def test_a_folder_that_is_in_the_way_leaves_nothing_behind(session: Session, tmp_path: Path) -> None:
    """The name is refused before anything is stored, as whoever asks may go on in the same unit of work."""
    (settings().models_folder / "small").mkdir(parents=True)

    with pytest.raises(InvalidError, match="name"):
        register_model(session, source=str(make_model_folder(tmp_path / "small")))

    assert list_models(session) == []


def test_a_name_may_be_chinese(session: Session, tmp_path: Path) -> None:
    """Letters are letters."""
    assert register_model(session, source=str(make_model_folder(tmp_path / "m")), name="书生-1_8b").name == "书生-1_8b"


def test_a_folder_that_is_there_already_is_taken_as_it_is(session: Session, home: Path) -> None:
    """A model that was put under the models' own folder is its own link."""
    folder = make_model_folder(settings().models_folder / "prepared")

    model = register_model(session, source=str(folder))
    remove_model(session, model.id or 0)

    assert model.path == str(folder)
    assert folder.is_dir()


# ── Removing ───────────────────────────────────────────────────────────────


def test_removing_a_model_leaves_the_folder_that_was_registered(session: Session, tmp_path: Path) -> None:
    """Only the link goes."""
    folder = make_model_folder(tmp_path / "small")
    model = register_model(session, source=str(folder))

    remove_model(session, model.id or 0)

    assert session.exec(select(Model)).all() == []
    assert (folder / "config.json").is_file()
    assert not (settings().models_folder / "small").is_symlink()


def test_what_was_laid_out_anew_goes_with_its_model(session: Session) -> None:
    """The copy is Temper's own."""
    copy = make_model_folder(settings().models_folder / "mine")
    model = make_model(session, name="mine", source="/elsewhere/internlm2", path=str(copy))

    remove_model(session, model.id or 0)

    assert not copy.exists()


def test_a_model_that_runs_use_stays(session: Session) -> None:
    """A run's page, its exports and its clones need it."""
    run = make_run(session)

    with pytest.raises(ConflictError, match="1 runs use it"):
        remove_model(session, run.model_id)

    assert get_model(session, run.model_id).name == "smollm2"


def test_a_model_that_is_being_prepared_stays(session: Session) -> None:
    """A worker is writing its folder."""
    model = make_model(session, name="later", state=ModelState.PREPARING, renewed_at=utc_now())

    with pytest.raises(ConflictError, match="is being prepared now"):
        remove_model(session, model.id or 0)


def test_there_is_no_model_of_a_number_that_none_has(session: Session) -> None:
    """A stale link says so."""
    with pytest.raises(NotFoundError):
        get_model(session, 404)
