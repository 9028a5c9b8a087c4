"""What a reader of a recipe may not expect."""

from typing import Any

import pytest

from app.domain.checkpoint_plan import DiskPlan
from app.domain.forecast_warnings import Known, warnings_of
from app.domain.token_forecasts import SeenSentence, SourceTokens, TokenForecast
from tests.factories import make_recipe


def tokens(*, share: float = 0.3, **changes: int) -> TokenForecast:
    """Return an epoch in which nothing is wrong, but for what is changed."""
    numbers: dict[str, Any] = dict.fromkeys(TokenForecast.__dataclass_fields__, 0) | {"samples": 100, "tokens": 1_000}
    sources: dict[str, Any] = {
        "sources": (SourceTokens("identity", "", 1, 1, 1, 1.0, 1.0, share),),
        "histogram": (),
        "sentences": (),
    }
    return TokenForecast(**{**numbers, **sources, **changes})


def warned(*, peak: int = 0, seen: int = 0, iterations: int = 400, **changes: Any) -> str:
    """Return the warnings of a run as one text."""
    known = Known(
        rows=100,
        iterations=iterations,
        updates=48,
        per_epoch=200,
        tokens=changes.pop("tokens", tokens()),
        most_seen=SeenSentence("I am.", seen),
    )
    disk = DiskPlan(0, peak)
    return "\n".join(str(each) for each in warnings_of(make_recipe(**changes), known, disk=disk, device=""))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"checkpoints": {"every": 500}, "iterations": 384}, "saves every 500 iterations, but the run has 384"),
        ({"tokens": tokens(dropped_tokens=250, cut_tokens=200, packing_tokens=50)}, "20 % of the tokens are dropped"),
        ({"tokens": tokens(rows_without_end=3)}, "3 rows lose the end of their answer"),
        ({"tokens": tokens(rows_without_loss=3)}, "3 rows are left out"),
        ({"tokens": tokens(samples=0)}, "No row can be trained on"),
        ({"seen": 20_000}, "seen 20,000 times in 48 updates: expect a parrot"),
        ({"seen": 60, "tokens": tokens(share=0.9)}, "seen 60 times in 48 updates"),
        ({"peak": 10**18}, "1000000000.0 GB of disk, and"),
        ({"iterations": 100}, "ends before every row is seen once"),
    ],
)
def test_each_warning_comes_when_it_is_due(changes: dict[str, Any], sentence: str) -> None:
    """With its numbers, and not otherwise."""
    assert sentence in warned(**changes)
    assert sentence not in warned()


def test_little_that_is_dropped_is_not_worth_a_sentence() -> None:
    """The last pack always drops some."""
    assert "dropped" not in warned(tokens=tokens(dropped_tokens=100))


def test_an_identity_among_others_may_be_seen_often() -> None:
    """A third of what is learnt is no parrot yet."""
    assert "parrot" not in warned(seen=500, tokens=tokens(share=0.3))
