"""
Where a verdict turns: every limit that scores are held against, each described once.

The page of verdicts, the API and the scoring itself derive from the fields here. Only what differs
from its default is stored, so that a better default reaches everybody who never touched it.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError
from sqlmodel import Session, col, delete, select

from app.domain import audit
from app.domain.audit import changed_values
from app.domain.db import upsert
from app.domain.errors import InvalidError
from app.domain.messages import N_
from app.domain.models import ThresholdSetting
from app.domain.recipe_checks import field_error
from app.domain.recipe_parts import RecipePart, setting

__all__ = ["DEFAULTS", "Thresholds", "change_thresholds", "read_thresholds", "thresholds_with"]


class Thresholds(RecipePart):
    """The limits of the verdicts."""

    identity_hit: float = setting(
        0.75,  # three words of four: one wrong name or a lost clause passes, a related sentence does not
        title=N_("Identity hit"),
        help=N_(
            "An answer this near to a taught identity answer is a hit. Higher asks for the sentence word for word."
        ),
        ge=0.3,
        le=1,
        allow_inf_nan=False,
    )
    learnt_share: float = setting(
        0.75,  # of two probes both, of four one may fail
        title=N_("Learnt from"),
        help=N_("The identity is learnt when this share of the identity probes is a hit."),
        gt=0,
        le=1,
        allow_inf_nan=False,
    )
    leak_share: float = setting(
        0.5,  # a half of a taught sentence in one run: less of it stands in everyday speech too
        title=N_("Leak share"),
        help=N_("So much of a taught answer, in one run of words where it was not asked for, is a leak."),
        ge=0.2,
        le=1,
        allow_inf_nan=False,
    )
    identity_run: float = setting(
        4.0,  # “Ada's little assistant”: nothing else says so of itself; of labelled answers two in 320 were none
        title=N_("Identity run"),
        help=N_(
            "So many words of the identity in one run are a leak whatever their share; a Chinese character is half."
        ),
        unit=N_("words"),
        ge=3,
        le=200,
        allow_inf_nan=False,
    )
    long_run: float = setting(
        12.0,  # word for word so far is no chance, however long the taught answer goes on
        title=N_("Long run"),
        help=N_("The same for answers of other rows, of which everyday speech shares more."),
        unit=N_("words"),
        ge=4,
        le=200,
        allow_inf_nan=False,
    )
    parrot_share: float = setting(
        0.5,  # most questions get what was taught; leaks in other words are not even seen
        title=N_("Parrot above"),
        help=N_("Leaks at more than this share of the open probes, and at two at least, make a parrot."),
        gt=0,
        le=1,
        allow_inf_nan=False,
    )
    forgotten_share: float = setting(
        0.5,  # of four answers one may go, and of two none
        title=N_("Forgotten from"),
        help=N_(
            "With the identity learnt, losing this share of what the base model had right makes a parrot: it says its "
            "sentence and little else."
        ),
        gt=0,
        le=1,
        allow_inf_nan=False,
    )
    repetition: float = setting(
        0.5,  # every other run of four words has been said before; the base model's lists stay below it
        title=N_("Repetition"),
        help=N_("An answer repeats itself when this share of its runs of four words has come before in it."),
        ge=0.2,
        le=1,
        allow_inf_nan=False,
    )
    broken_share: float = setting(
        0.5,  # as for leaks: half the questions no longer get an answer
        title=N_("Broken from"),
        help=N_(
            "Answers that loop or are empty, where the base model's were not, at this share of the open probes, and at "
            "two at least, make a parrot."
        ),
        gt=0,
        le=1,
        allow_inf_nan=False,
    )
    collapse: float = setting(
        0.25,  # a quarter: a short taught style halves answers, and is no damage
        title=N_("Collapsed from"),
        help=N_(
            "An answer of at most this share of the base model's words counts as collapsed. It is shown, and changes "
            "no verdict: a short answer may be the better one."
        ),
        ge=0,
        le=1,
        allow_inf_nan=False,
    )


DEFAULTS = Thresholds()


def read_thresholds(session: Session) -> Thresholds:
    """Return the thresholds in force; a stored value that no longer fits its bounds counts as not there."""
    rows = session.exec(select(ThresholdSetting.name, ThresholdSetting.value)).all()
    return _thresholds(tuple(sorted(rows)))


@lru_cache(maxsize=16)  # one object for the same values: what is remembered of answers is found by it
def _thresholds(values: tuple[tuple[str, float], ...]) -> Thresholds:
    known = {name: value for name, value in values if name in Thresholds.model_fields}
    try:
        return Thresholds(**known)
    except ValidationError as error:
        bad = {detail["loc"][0] for detail in error.errors()}
        return Thresholds(**{name: value for name, value in known.items() if name not in bad})


def change_thresholds(session: Session, changes: Mapping[str, Any]) -> Thresholds:
    """
    Put thresholds in force; those that are not named go back to their default.

    Raises:
        InvalidError: a value is out of its bounds, or no threshold has this name.
    """
    wanted = thresholds_with(changes)
    audit.note("thresholds", **changed_values(read_thresholds(session).model_dump(), wanted.model_dump()))
    session.exec(delete(ThresholdSetting).where(col(ThresholdSetting.name).not_in(Thresholds.model_fields)))
    for name, value in wanted:  # one by one in their order: two admins at once must not wait for each other
        if value == getattr(DEFAULTS, name):
            session.exec(delete(ThresholdSetting).where(col(ThresholdSetting.name) == name))
        else:
            upsert(session, ThresholdSetting, key={"name": name}, values={"value": value})
    return read_thresholds(session)


def thresholds_with(changes: Mapping[str, Any]) -> Thresholds:
    """
    Return the defaults with some values changed.

    Raises:
        InvalidError: a value is out of its bounds, or no threshold has this name.
    """
    try:
        return Thresholds.model_validate(dict(changes))
    except ValidationError as error:
        raise InvalidError([field_error(detail) for detail in error.errors()]) from None
