"""The orders by text in which a long list of questions is searched for near ones; sorted by polars."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from app.domain.findings.keys import Keys
from app.domain.findings.near import Indices

_QUARTERS = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512])
"""Steps, so that a text with one character more seldom has another quarter."""


def text_orders(texts: Sequence[str], contexts: Keys, lengths: Indices) -> Iterator[Indices]:
    """Yield four orders of questions, as indices; questions of one context stand together."""
    steps = np.searchsorted(_QUARTERS, np.maximum(lengths // 4, 1), side="right") - 1
    frame = pl.DataFrame(
        {
            "context": contexts,
            "text": texts,
            "back": [text[::-1] for text in texts],  # polars' own `reverse` takes four times as long
            "quarter": _QUARTERS[steps],
        }
    )
    text, back, quarter = pl.col("text"), pl.col("back"), pl.col("quarter")
    # a quarter's hash stands for it: which quarters come first does not matter, and numbers sort faster
    for keys in (
        (text,),
        (back,),
        (text.str.head(quarter).hash(), back),
        (back.str.head(quarter).hash(), text),
    ):
        yield frame.select(pl.arg_sort_by("context", *keys)).to_series().cast(pl.Int64).to_numpy()
