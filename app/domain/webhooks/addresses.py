"""
Where a webhook may lead: http and https, to addresses of the public internet.

A name is resolved once, and the very address that was checked is the one that is connected to
(`sending.py`), so that a name that answers differently the second time gains nothing. Private
networks are open only where `TEMPER_WEBHOOK_ALLOW_PRIVATE` names them.

Covers: loopback, private, link-local (the metadata services of clouds), shared, reserved and multicast
addresses, and IPv4 inside of IPv6. Does not cover: a public address that somebody forwards to a private one.
"""

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote, urlsplit

from app.domain.errors import FieldError, InvalidError
from app.domain.messages import Message, message

Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]
Resolve = Callable[[str, int], Sequence[str]]

LONGEST = 2_048  # characters of a URL
PORTS = {"http": 80, "https": 443}
HOST = re.compile(r"[a-z0-9._-]{1,253}")
SAFE = "/%?&=+:;,@!$'()*~[]"  # of a path and a query; what is written with % stays so
CLOSED: Networks = (  # not public, whichever of them this Python knows
    *(IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24")),  # the protocols' own, the relays of 6to4
    IPv6Network("3fff::/20"),  # documentation
)
NAT64 = IPv6Network("64:ff9b::/96")
LOOKS_LIKE_A_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)


class RefusedAddressError(Exception):
    """Nothing may be sent there; the text says why, for the log of an admin."""


@dataclass(frozen=True)
class Target:
    """A checked URL in its parts."""

    scheme: str
    host: str
    """A name in ASCII, or an address in its usual form."""
    port: int
    path: str
    """With its query."""


def target_of(url: str) -> Target:
    """
    Take a URL apart.

    Raises:
        InvalidError: at `address`, where it is none that a webhook may have.
    """
    if len(url) > LONGEST or not url.isprintable() or " " in url:
        raise refused(message("Give a URL of at most {most} characters, without spaces.", most=LONGEST))
    try:
        parts = urlsplit(url)
        port, host = parts.port, (parts.hostname or "").rstrip(".")
    except ValueError:
        raise refused(message("This is no URL.")) from None
    if parts.scheme not in PORTS:
        raise refused(message("Give a URL that begins with https:// or http://."))
    if "@" in parts.netloc:
        raise refused(message("Take the user and the password out of the URL: its log would show them."))
    if port == 0 or "\\" in url or "%" in host:
        raise refused(message("This is no URL."))
    path = quote(f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/", safe=SAFE)
    return Target(parts.scheme, _host_of(host), port or PORTS[parts.scheme], path)


def refused(text: Message) -> InvalidError:
    """Return the error of an address that cannot be used."""
    return InvalidError([FieldError("address", text)])


def _host_of(host: str) -> str:
    """Return a host as it is connected to; a number in another than the usual form is none."""
    address = _literal(host)
    if address is not None:
        return str(address)
    try:
        name = host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise refused(message("This is no URL.")) from None
    # 2852039166, 0x7f.1 and 0177.0.0.1 are addresses to the system, and to nobody who reads them.
    if not HOST.fullmatch(name) or LOOKS_LIKE_A_NUMBER.fullmatch(name.rpartition(".")[2]):
        raise refused(message("Give a name, or an address such as 203.0.113.7 in its usual form."))
    return name


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


# ── Which addresses are open ───────────────────────────────────────────────


def is_open(address: Address, *, allowed: Networks) -> bool:
    """Whether a webhook may be sent to an address."""
    inner = _inner(address)
    is_allowed = any(address in network or inner in network for network in allowed)
    return is_allowed or _is_public(inner)


def _inner(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one leads to, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


def _is_public(address: Address) -> bool:
    is_special = address.is_multicast or address.is_reserved or address.is_link_local or address.is_unspecified
    is_site_local = isinstance(address, IPv6Address) and address.is_site_local
    is_closed = any(address in network for network in CLOSED)
    return address.is_global and not (is_special or is_site_local or is_closed)


def system_addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a name, the best first, as the system finds them; OSError where there are none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def checked_addresses(host: str, port: int, *, allowed: Networks, resolve: Resolve) -> list[str]:
    """
    Resolve a name once and return its addresses, all of which are open.

    Raises:
        RefusedAddressError: one of them is not.
        OSError: there is no such name.
    """
    addresses = resolve(host, port)
    for text in addresses:
        address = ip_address(text.partition("%")[0])
        if not is_open(address, allowed=allowed):
            raise RefusedAddressError(str(address))
    return list(addresses)
