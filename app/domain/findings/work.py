"""How much a search may do: what a form holds is searched while somebody types, however long its texts are."""

import numpy as np

from app.domain.findings.table import Numbers

PER_PAIR = 1_000  # steps: what two texts cost to compare however short they are
CHARACTERS_AT_ONCE = 64  # rapidfuzz holds so many of one text against one of the other in a step
PER_CHARACTER_SOUGHT = 3  # steps


class Work:
    """Steps of about a nanosecond that are left; a search without a limit is given None instead."""

    def __init__(self, steps: int) -> None:
        """Begin with so many."""
        self.left, self.is_over = steps, False

    def take(self, steps: int) -> bool:
        """Take some; False where they are not left, and then something was not looked at."""
        if steps > self.left:
            self.is_over = True
            return False
        self.left -= steps
        return True

    def take_first(self, steps: Numbers) -> int:
        """Return how many of some pieces of work, from the first on, can be done, and take what they need."""
        done = int(np.searchsorted(np.cumsum(steps), self.left, "right"))
        self.left -= int(steps[:done].sum())
        self.is_over |= done < len(steps)
        return done


def steps_of_pairs(lengths: Numbers, others: Numbers) -> Numbers:
    """Return what it takes to hold texts of some lengths against others, one against one."""
    return PER_PAIR + lengths.astype(np.int64) * others // CHARACTERS_AT_ONCE
