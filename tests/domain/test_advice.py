"""Which checkpoint to keep, where held-out pairs were measured."""

import pytest

from app.domain.advice import advise
from app.domain.verdicts import CheckpointScore, CheckpointVerdict, Verdict


def good(iteration: int, held_out: float | None, *, forgotten: int = 0) -> CheckpointVerdict:
    score = CheckpointScore(2, 2, 0, 6, forgotten=forgotten, known=4, answered=8, verdict=Verdict.GOOD)
    return CheckpointVerdict(iteration, iteration, score, held_out)


@pytest.mark.parametrize(
    ("window", "kept"),
    [
        ([good(15, 2.06), good(18, 2.08), good(21, 2.18)], 15),
        ([good(15, 2.20), good(18, 2.08), good(21, 2.07)], 21),
        ([good(15, 2.06, forgotten=1), good(18, 2.08), good(21, 2.18)], 18),
        ([good(15, 2.06), good(18, None), good(21, 2.18)], 18),
        ([good(15, None), good(18, None), good(21, None)], 18),
    ],
    ids=["likeliest first", "likeliest last", "forgetting counts more", "one is not measured", "none is measured"],
)
def test_of_good_checkpoints_the_one_where_held_out_pairs_are_likeliest(
    window: list[CheckpointVerdict], kept: int
) -> None:
    """It has learnt most of the identity and lost least of the rest; unmeasured, the middle is as safe as it gets."""
    assert advise(window).iteration == kept


def test_the_reason_says_that_likelihood_decided() -> None:
    """Only where there was something to choose from."""
    assert "likeliest" in str(advise([good(15, 2.1), good(18, 2.0)]).reason)
    assert "likeliest" not in str(advise([good(15, 2.1)]).reason)
