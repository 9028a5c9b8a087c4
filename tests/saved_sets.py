"""Saved sets for tests, each valid with no argument at all."""

from collections.abc import Sequence
from pathlib import Path

from sqlmodel import Session

from app.domain.datasets import store
from app.domain.models import Dataset, Model
from app.domain.recipes import Pair
from tests.factories import make_model
from tests.tokenizers_here import write_tokenizer

PAIRS = (("What is a cat?", "A small animal."), ("What is a dog?", "A loyal animal."))


def make_set(session: Session, *, name: str = "pets", pairs: Sequence[tuple[str, str]] = PAIRS) -> Dataset:
    """Store pairs as the newest version of a name."""
    written = [Pair.model_construct(question=question, answer=answer) for question, answer in pairs]
    dataset = store.store_pairs(session, name=name, pairs=written)
    session.commit()
    return dataset


def make_counted_model(session: Session, folder: Path, *, name: str = "smollm2") -> Model:
    """Register a model whose tokens are bytes, so that a test can count them by hand."""
    path = str(write_tokenizer(folder / "model"))
    return make_model(session, name=name, path=path, source=path)
