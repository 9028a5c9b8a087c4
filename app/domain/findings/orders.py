"""The orders by text in which a long list of questions is searched for near ones; sorted by polars."""

from collections.abc import Iterator

import polars as pl

from app.domain.findings.keys import Keys
from app.domain.findings.near import Indices

_LADDER = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512)
"""Lengths of a quarter: steps, so that a text with one character more seldom has another."""


def text_orders(texts: pl.Series, contexts: Keys) -> Iterator[Indices]:
    """Yield four orders of questions, as indices; questions of one context stand together."""
    frame = pl.DataFrame({"context": contexts, "text": texts}).with_columns(
        pl.col("text").str.len_chars().alias("length"), pl.lit(1).cast(pl.UInt32).alias("quarter")
    )
    for step in _LADDER:
        fits = pl.col("length") >= 4 * step
        frame = frame.with_columns(pl.when(fits).then(pl.lit(step)).otherwise(pl.col("quarter")).alias("quarter"))
    text, back = pl.col("text"), pl.col("text").str.reverse()
    for keys in (
        (text,),
        (back,),
        (text.str.head(pl.col("quarter")), back),
        (back.str.head(pl.col("quarter")), text),
    ):
        yield frame.select(pl.arg_sort_by("context", *keys)).to_series().cast(pl.Int64).to_numpy()
