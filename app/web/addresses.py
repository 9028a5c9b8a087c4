"""Addresses that somebody sent: nothing in them may be believed, not even that they can be read."""

from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from app.domain.errors import FieldError, InvalidError
from app.domain.messages import message
from app.web.deps import LARGEST_ID

MAX_IDS = 500  # an address beyond that is longer than browsers and proxies take
NOWHERE = SplitResult("", "", "", "", "")


def split_address(address: str) -> SplitResult:
    """Split an address; one that cannot be read, such as `//[`, has no part at all."""
    try:
        return urlsplit(address)
    except ValueError:
        return NOWHERE


def path_on_this_server(address: str) -> str:
    """Return the path and query of an address; `/` for one that leads to another server."""
    parts = split_address(address)
    is_here = parts != NOWHERE and not parts.scheme and not parts.netloc
    return address if is_here and address.startswith("/") and not address.startswith(("//", "/\\")) else "/"


def read_ids(name: str, texts: Sequence[str]) -> tuple[int, ...]:
    """Read ids that stand in one or several comma-separated lists; InvalidError for anything else."""
    parts = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    if len(parts) > MAX_IDS:
        raise InvalidError([FieldError(name, message("These are too many; {limit} fit.", limit=MAX_IDS))])
    if not all(map(is_id, parts)):
        raise InvalidError([FieldError(name, message("Give ids of {name}, such as 1,2,3.", name=name))])
    return tuple(dict.fromkeys(map(int, parts)))


def is_id(text: str) -> bool:
    """Whether a text is a number that may name something."""
    return id_in(text) is not None


def id_in(text: object) -> int | None:
    """Return the id that a text is; None where it is none, or no text."""
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_ID))):
        return None
    return int(text) if 0 < int(text) <= LARGEST_ID else None
