"""Addresses that somebody sent: nothing in them may be believed, not even that they can be read."""

from urllib.parse import SplitResult, urlsplit

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
