"""How much of what a folder's checkpoints said is kept: its files of answers and its logs share one limit."""

from collections.abc import Sequence

MOST_CHARACTERS = 16 << 20  # of one folder; a hundred checkpoints with twenty answers have about two million
MOST_TEXTS = 64  # answers of one evaluation: as many probes as a recipe has
LEAST = 100  # characters that an answer counts for: an empty one is a row too


class Room:
    """What is left for answers."""

    def __init__(self, characters: int | None = None) -> None:
        """Begin with all of it, or with so many characters."""
        self._left = MOST_CHARACTERS if characters is None else characters

    def takes(self, texts: Sequence[str]) -> bool:
        """Take the answers of one evaluation, whole or not at all; False where they no longer fit."""
        wanted = sum(max(LEAST, len(text)) for text in texts)
        if wanted > self._left:
            return False
        self._left -= wanted
        return True
