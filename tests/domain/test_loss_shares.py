"""The identity's share of what is learnt."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.loss_shares import loss_of, mix_for_share, share_of_loss
from app.domain.mixes import count_rows
from app.domain.prompt_templates import prompt_template
from app.domain.recipes import Mix, Pair
from app.domain.token_cache import count_mix
from app.domain.tokenising import TextTokenizer, load_tokenizer
from tests.tokenizers_here import write_tokenizer

MIX = Mix(
    identity=(Pair(question="Who?", answer="A" * 39), Pair(question="What?", answer="A" * 39)),
    general=tuple(Pair(question=f"{number}?", answer="B" * 9) for number in range(5)),
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    """Return a tokenizer of bytes."""
    return load_tokenizer(write_tokenizer(tmp_path_factory.mktemp("model")))


@pytest.mark.parametrize(("n", "m", "share"), [(0, 0, 80 / 130), (3, 0, 320 / 370), (0, 7, 80 / 480)])
def test_shares_are_of_learnt_tokens(tokenizer: TextTokenizer, n: int, m: int, share: float) -> None:
    """Two answers of 40 tokens against five of 10, whatever their questions are."""
    mix = MIX.model_copy(update={"identity_count": n, "general_count": m})
    counts = count_mix(mix, tokenizer=tokenizer, template=prompt_template("qwen_chat"))

    assert share_of_loss(mix, counts, max_length=500) == pytest.approx(share)
    assert loss_of(mix, counts, max_length=500).share(n=n, m=m) == pytest.approx(share)


@given(n=st.integers(20, 2_000), m=st.integers(20, 2_000), share=st.floats(0.05, 0.9))
@settings(max_examples=40, deadline=None)
def test_n_and_m_meet_a_share_with_about_as_many_rows(tokenizer: TextTokenizer, n: int, m: int, share: float) -> None:
    """A share is met within a twentieth of itself, and the run is about as long."""
    mix = MIX.model_copy(update={"identity_count": n, "general_count": m})
    counts = count_mix(mix, tokenizer=tokenizer, template=prompt_template("qwen_chat"))

    found = mix_for_share(mix, counts, max_length=500, share=share)

    assert share_of_loss(found, counts, max_length=500) == pytest.approx(share, rel=0.25, abs=0.02)
    assert count_rows(found).total == pytest.approx(count_rows(mix).total, rel=0.15)


def test_a_mix_with_nothing_to_weigh_is_left_as_it_is(tokenizer: TextTokenizer) -> None:
    """No n gives the identity another share when there is nothing else."""
    mix = MIX.model_copy(update={"general": ()})
    counts = count_mix(mix, tokenizer=tokenizer, template=prompt_template("qwen_chat"))

    assert mix_for_share(mix, counts, max_length=500, share=0.2) == mix
