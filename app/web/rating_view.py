"""What the drawer shows of an answer's rating: the reader's own, and how all rate it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.messages import Message
from app.domain.ratings import LONGEST_NOTE, MOST_STARS, StarCount


@dataclass(frozen=True)
class RatingView:
    """One answer's rating."""

    answer_id: int
    stars: int | None
    note: str
    everybody: StarCount
    is_saved: bool = False
    """It was stored just now."""
    problems: Mapping[str, Message] = field(default_factory=dict)
    """By field."""

    @property
    def star_choices(self) -> range:
        """From one star up."""
        return range(1, MOST_STARS + 1)

    @property
    def longest_note(self) -> int:
        """Characters that a note may have."""
        return LONGEST_NOTE


@dataclass(frozen=True)
class RatingPart:
    """The part of the drawer that comes back when a rating was saved."""

    rating: RatingView
