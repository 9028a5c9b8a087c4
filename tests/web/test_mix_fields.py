"""Shares between the recipe, where they are parts of one, and the page, where they are in percent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.mix_fields import percent_text, read_amounts


def read(text: str) -> object:
    """Read a share as the form does."""
    mix = {"identity_share": text, "identity_by": "share"}
    read_amounts(mix)
    return mix["identity_share"]


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_a_share_that_is_written_reads_back(share: float) -> None:
    """As the same number, to the last digit."""
    assert read(percent_text(share)) == share


@pytest.mark.parametrize(
    ("share", "text"), [(0.25, "25"), (0.07, "7"), (0.001, "0.1"), (0.29, "29"), (1 / 3, "33.33333333333333")]
)
def test_a_share_is_written_short(share: float, text: str) -> None:
    """In no more digits than it has."""
    assert percent_text(share) == text


@pytest.mark.parametrize("typed", ["much", "", "sNaN", "1e999999999999999999"])
def test_what_is_no_share_stays_as_typed(typed: str) -> None:
    """Or is none that a recipe takes; nothing breaks."""
    share = read(typed)

    assert share == typed or not isinstance(share, float) or not 0 < share < 1
