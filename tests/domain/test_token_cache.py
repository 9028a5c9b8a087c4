"""What is remembered of counted tokens, and that it is little."""

from pathlib import Path

import pytest

from app.domain import token_cache
from app.domain.mixes import row_of
from app.domain.prompt_templates import prompt_template
from app.domain.recipes import MAX_FILES, Mix, Pair
from app.domain.token_counts import TokenCounts, count_tokens
from app.domain.tokenising import TextTokenizer, load_tokenizer
from tests.tokenizers_here import write_tokenizer

TEMPLATE = prompt_template("qwen_chat")


@pytest.fixture
def tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TextTokenizer:
    """Return a tokenizer of bytes, and begin with nothing remembered."""
    monkeypatch.setattr(token_cache, "_pairs", type(token_cache._pairs)())
    return load_tokenizer(write_tokenizer(tmp_path))


def identity(tokenizer: TextTokenizer, *pairs: Pair, system: str = "") -> TokenCounts:
    """Count identity pairs, which the cache may know."""
    return token_cache.count_mix(Mix(identity=pairs, system=system), tokenizer=tokenizer, template=TEMPLATE)[0]


def test_remembered_pairs_are_counted_as_new_ones(tokenizer: TextTokenizer) -> None:
    """In their order, one that stands twice too; a border between texts is part of what is remembered."""
    pairs = [Pair(question="ab", answer="c"), Pair(question="a", answer="bc"), Pair(question="ab", answer="c")]
    identity(tokenizer, pairs[1])

    counts = identity(tokenizer, *pairs)
    plain = count_tokens([row_of(pair, "") for pair in pairs], tokenizer=tokenizer, template=TEMPLATE)

    for name in TokenCounts.__dataclass_fields__:
        assert getattr(counts, name).tolist() == getattr(plain, name).tolist()
        assert getattr(counts, name).dtype == getattr(plain, name).dtype
    assert identity(tokenizer, pairs[0], system="S").lengths[0] > counts.lengths[0]


def test_no_text_is_remembered(tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair takes the same few bytes however long it is, and the oldest one goes first."""
    monkeypatch.setattr(token_cache, "PAIRS_REMEMBERED", 2)

    for size in (10, 1_000, 8_000):
        identity(tokenizer, Pair(question="q" * size, answer="a"))

    assert {(len(key), len(value)) for key, value in token_cache._pairs.items()} == {(16, 3)}
    assert len(token_cache._pairs) == 2


def test_a_form_forgets_none_of_its_own_sets() -> None:
    """As many are remembered as a mix may have."""
    assert token_cache.SETS_REMEMBERED >= MAX_FILES
