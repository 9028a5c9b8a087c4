"""InternLM2 laid out as Llama: the same numbers, and no code of the model's own."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.worker.engine.conftest import launch, small_recipe, train

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

SHIPPED = "xtuner.tools.model_converters.modeling_internlm2_reward"
SENTENCES = ("Who are you?", "I am Ada's little assistant.", "What is 2 + 2?", "你是谁", "a  b\nc", "😀")


@pytest.fixture(scope="module")
def internlm2(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Build a small InternLM2 with random weights out of its own code, and save it in two shards."""
    import torch
    from xtuner.tools.model_converters.modeling_internlm2_reward import configuration_internlm2, modeling_internlm2

    folder = tmp_path_factory.mktemp("internlm2")
    config = configuration_internlm2.InternLM2Config(
        vocab_size=600,
        hidden_size=128,
        intermediate_size=192,  # bitsandbytes works on a CPU in blocks of 32
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=256,
        bias=False,
    )
    config.pretraining_tp, config.attn_implementation = 1, "eager"
    torch.manual_seed(0)
    model = modeling_internlm2.InternLM2ForCausalLM(config).eval()
    _save(model, folder)
    return folder, model


def _save(model: Any, folder: Path) -> None:
    from safetensors.torch import save_file

    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    files = {name: f"model-0000{1 + (at >= len(state) // 2)}-of-00002.safetensors" for at, name in enumerate(state)}
    for file in sorted(set(files.values())):
        save_file({name: state[name] for name in state if files[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}), "utf-8")
    config = {**model.config.to_dict(), "architectures": ["InternLM2ForCausalLM"], "torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config, default=str), "utf-8")
    _save_tokenizer(folder)


def _save_tokenizer(folder: Path) -> None:
    """Train a SentencePiece model of InternLM2's kind, with two pieces kept free for its turns."""
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

    SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=340,
        byte_fallback=True,
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        user_defined_symbols=["[UNUSED_TOKEN_145]", "[UNUSED_TOKEN_146]"],
        hard_vocab_limit=False,
        minloglevel=2,
    )
    pieces = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    free = [pieces.piece_to_id(f"[UNUSED_TOKEN_{number}]") for number in (145, 146)]
    added = {str(free[0]): {"content": "<|im_end|>"}, str(free[1]): {"content": "<|im_start|>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": added}), "utf-8")


@pytest.fixture(scope="module")
def relaid(internlm2: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay it out as Llama."""
    folder = tmp_path_factory.mktemp("relaid") / "model"
    done = launch("relay", internlm2[0], folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_logits_are_the_same(internlm2: tuple[Path, Any], relaid: Path) -> None:
    """They differ by no more than the order in which a matrix product is summed: three are made of one."""
    import torch
    from transformers import AutoModelForCausalLM

    llama = AutoModelForCausalLM.from_pretrained(relaid, attn_implementation="eager")
    ids = torch.randint(0, 600, (2, 16), generator=torch.Generator().manual_seed(1))

    with torch.no_grad():
        theirs = internlm2[1](input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
        ours = llama(input_ids=ids, attention_mask=torch.ones_like(ids)).logits

    assert ours.abs().max() > 0.1
    assert (ours - theirs).abs().max() < 1e-6


@pytest.mark.parametrize("text", SENTENCES)
def test_the_tokenizer_gives_the_same_tokens(internlm2: tuple[Path, Any], relaid: Path, text: str) -> None:
    """Bytes outside the vocabulary, spaces in a row and Chinese included; and back again."""
    from sentencepiece import SentencePieceProcessor
    from transformers import AutoTokenizer

    pieces = SentencePieceProcessor(model_file=str(internlm2[0] / "tokenizer.model"))
    tokenizer = AutoTokenizer.from_pretrained(relaid)

    assert tokenizer.encode(text) == [1, *pieces.encode(text)]
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text


def test_a_turn_is_one_token_and_ends_answers(relaid: Path) -> None:
    """`<|im_end|>` takes the place of an unused piece, and plain transformers stops at it."""
    from transformers import AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(relaid)
    ids = tokenizer.encode("<|im_start|>user\nHi<|im_end|>", add_special_tokens=False)

    assert ids[-1] == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert ids[-1] in GenerationConfig.from_pretrained(relaid).eos_token_id


def test_it_trains_converts_and_merges(relaid: Path, tmp_path: Path) -> None:
    """Laid out, it is a model like any other, its own template included."""
    done = train(small_recipe(), tmp_path / "run", model=relaid, template="internlm2_chat")
    merged = launch("merge", relaid, tmp_path / "run" / "adapters" / "iter_4", tmp_path / "merged")

    assert done.exit_code == 0, done.output
    assert merged.returncode == 0, merged.stderr
    assert (tmp_path / "merged" / "manifest.json").exists()


def test_a_full_fine_tune_becomes_a_whole_model(relaid: Path, tmp_path: Path) -> None:
    """There is no adapter; the trainer deletes nothing, which is for its supervisor to do."""
    recipe = small_recipe(method="full", checkpoints={"every": 2, "keep": 1, "max_new_tokens": 4})

    done = train(recipe, tmp_path / "run", model=relaid, template="internlm2_chat")
    whole = launch("convert", tmp_path / "run" / "config.py", tmp_path / "run" / "iter_4.pth", tmp_path / "whole")
    merged = launch("merge", relaid, tmp_path / "run" / "iter_4.pth", tmp_path / "merged")

    assert done.exit_code == 0, done.output
    assert [event["adapter"] for event in done.told("checkpoint")] == [None, None]
    assert sorted(file.name for file in (tmp_path / "run").glob("iter_*.pth")) == ["iter_2.pth", "iter_4.pth"]
    for result, name in ((whole, "whole"), (merged, "merged")):
        assert result.returncode == 0, result.stderr
        assert (tmp_path / name / "model.safetensors").exists()


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    """Renaming the wrong tensors would make a model that answers nonsense."""
    (tmp_path / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}', "utf-8")

    done = launch("relay", tmp_path, tmp_path / "out")

    assert done.returncode == 1
    assert "bad-model" in done.stderr
    assert not (tmp_path / "out").exists()
