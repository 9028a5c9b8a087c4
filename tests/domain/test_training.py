"""The layers that get an adapter, by the names that transformers gives them."""

import pytest

from app.domain.model_folders import NATIVE_TYPES
from app.domain.training import TARGETS, LoraTargets

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_local_experts": 2,
    "num_experts": 2,
    "num_experts_per_tok": 1,
    "head_dim": 8,
    "vocab_size": 64,
    "pad_token_id": 0,
}
LEFT_OUT = {"lm_head", "gate", "shared_expert_gate"}  # the head, and what chooses among experts


@pytest.mark.engine
@pytest.mark.long
@pytest.mark.parametrize("model_type", sorted(NATIVE_TYPES))
def test_every_type_has_the_layers_that_are_named(model_type: str) -> None:
    """All linear layers but the head and the routers are adapted, and each smaller choice is a part of them."""
    torch = pytest.importorskip("torch")
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **SIZES))

    layers = {name.rpartition(".")[2] for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)}
    assert layers - LEFT_OUT == layers & {*TARGETS[LoraTargets.ALL]}
    assert layers & {*TARGETS[LoraTargets.QUERY_VALUE]}
    assert layers & {*TARGETS[LoraTargets.QUERY_VALUE]} < layers & {*TARGETS[LoraTargets.ATTENTION]} < layers
