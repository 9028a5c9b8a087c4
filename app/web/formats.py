"""How times, sizes and numbers are written on pages, in the reader's language."""

import math
from datetime import datetime

from app.domain.columns import utc_now
from app.domain.reads import note_change
from app.web.i18n import gettext, ngettext

HEATS = 6  # colours of the ramp, pale straw to deep blue
MINUTE, HOUR, DAY = 60, 3_600, 86_400
NONE = "–"


def age(moment: datetime) -> str:
    """Write an age for a narrow column: `12 s`, `3 min`, `2 h`, `5 d`."""
    seconds = _seconds_since(moment)
    if seconds < MINUTE:
        return gettext("%(n)s s", n=seconds)
    if seconds < HOUR:
        return gettext("%(n)s min", n=seconds // MINUTE)
    if seconds < DAY:
        return gettext("%(n)s h", n=seconds // HOUR)
    return gettext("%(n)s d", n=seconds // DAY)


def ago(moment: datetime | None) -> str:
    """Say how long ago something was: `12 s ago`, `3 min ago`, `2 h ago`, then the date."""
    if moment is None:
        return NONE
    seconds = _seconds_since(moment)
    if seconds < MINUTE:
        return gettext("%(n)s s ago", n=seconds)
    if seconds < HOUR:
        return gettext("%(n)s min ago", n=seconds // MINUTE)
    if seconds < DAY:
        return gettext("%(n)s h ago", n=seconds // HOUR)
    if seconds < 7 * DAY:
        return ngettext("%(num)s day ago", "%(num)s days ago", seconds // DAY)
    return moment.strftime("%Y-%m-%d")


def hours_ago(moment: datetime | None) -> str:
    """Say how long ago something was that is written down to the hour: `in the last hour`, `2 h ago`, then the date."""
    if moment is None or _seconds_since(moment) >= HOUR:
        return ago(moment)
    return gettext("in the last hour")


def _seconds_since(moment: datetime) -> int:
    """Return how long ago something was, and note when that will be written otherwise."""
    seconds = max(0, int((utc_now() - moment).total_seconds()))
    unit = next((unit for unit in (DAY, HOUR, MINUTE) if seconds >= unit), 1)
    note_change(unit - seconds % unit)
    return seconds


def duration(seconds: float | None) -> str:
    """Write a duration as `0:55`, `12:03` or `1:02:03`."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // HOUR, whole % HOUR // MINUTE, whole % MINUTE
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(count: float | None) -> str:
    """Write bytes in the unit that keeps the number short, in powers of 1000: `3.7 MB`."""
    if count is None:
        return NONE
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:  # noqa: PLR2004 - what would be written as 1000
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"  # noqa: PLR2004
        count /= 1_000
    return f"{count:.1f} TB"


def number(value: float | None, places: int | None = None) -> str:
    """Write a number: whole ones with separators, others with `places`, or four digits that count."""
    if value is None or not math.isfinite(value):
        return NONE
    if places is not None:
        return f"{value:,.{places}f}"
    if float(value).is_integer() and abs(value) < 1e15:  # noqa: PLR2004 - beyond it floats are not exact
        return f"{int(value):,}"
    return f"{value:.4g}"


def scientific(value: float) -> str:
    """Write a learning rate as people type it: `2e-4`, `1.5e-5`, `0.1`."""
    if value == 0 or abs(value) >= 0.01:  # noqa: PLR2004 - short enough as it is
        return f"{value:g}"
    digits, _, power = f"{value:e}".partition("e")
    return f"{float(digits):g}e{int(power)}"


def percent(share: float | None) -> str:
    """Write a share from 0 to 1 as a whole percentage."""
    if share is None or not math.isfinite(share):
        return NONE
    return "<1%" if 0 < share < 0.005 else f"{share * 100:.0f}%"  # noqa: PLR2004 - what would be written as none


def rate(seconds_per_iteration: float | None) -> str:
    """Write seconds per iteration with three digits that count."""
    return NONE if seconds_per_iteration is None else f"{seconds_per_iteration:.3g}"


def heat(iteration: int, iterations: int) -> int | None:
    """Return a checkpoint's place on the ramp, 0 to 5; None for the base model, which is cold."""
    if iteration <= 0:
        return None
    share = min(1.0, iteration / max(iterations, iteration))
    return min(HEATS - 1, max(0, math.ceil(share * HEATS) - 1))


def clock(moment: datetime | None) -> str:
    """Write a moment in full, in UTC, for titles."""
    return NONE if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def language_of_text(text: str) -> str:
    """Return `zh` for a text with Chinese characters, else `en`: pages set other type for each."""
    return "zh" if any("\u4e00" <= character <= "\u9fff" for character in text) else "en"
