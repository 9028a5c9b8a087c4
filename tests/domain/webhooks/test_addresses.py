"""Where nothing may be sent."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import InvalidError
from app.domain.webhooks.addresses import RefusedAddressError, checked_addresses, is_open, target_of

CLOSED = (
    *("127.0.0.1", "127.8.8.8", "0.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("192.0.0.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "fe80::1", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1"),
    *(
        "192.0.0.9",
        "192.0.0.10",
        "192.88.99.1",
        "3fff::1",
        "3fff:fff:ffff::1",
        "::ffff:192.88.99.1",
        "2002:c058:6301::",
    ),
)
OPEN = ("1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "192.0.1.1")


@pytest.mark.parametrize("text", CLOSED)
def test_nothing_is_sent_to_what_is_not_public(text: str) -> None:
    """Loopback, private, link-local, shared, reserved and multicast, whichever way they are written in IPv6."""
    assert not is_open(ip_address(text), allowed=())


@pytest.mark.parametrize("text", OPEN)
def test_the_public_internet_is_open(text: str) -> None:
    """IPv4 inside of IPv6 counts as what it leads to."""
    assert is_open(ip_address(text), allowed=())


def test_a_network_is_opened_by_its_name_alone() -> None:
    """An admin opens one network, in both of its spellings, and no other."""
    allowed = [ip_network("10.2.0.0/16"), ip_network("fd00::/8")]

    assert [is_open(ip_address(text), allowed=allowed) for text in ("10.2.3.4", "::ffff:10.2.3.4", "fd12::1")] == [
        True
    ] * 3
    assert not any(is_open(ip_address(text), allowed=allowed) for text in ("10.3.0.1", "127.0.0.1", "fe80::1"))


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1))
def test_an_address_is_as_open_inside_of_ipv6_as_it_is(number: int) -> None:
    """Mapped, translated or tunnelled, nothing becomes reachable that was not."""
    address = IPv4Address(number)
    forms = (
        IPv6Address(f"::ffff:{address}"),
        IPv6Address((0x64FF9B << 96) | number),
        IPv6Address((0x2002 << 112) | (number << 80)),
    )

    assert {is_open(form, allowed=()) for form in forms} == {is_open(address, allowed=())}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "http://",
        "http:///path",
        "http://user:secret@example.com/",
        "http://example.com@127.0.0.1/",
        "http://2852039166/",
        "http://0xA9FEA9FE/",
        "http://0251.0376.0251.0376/",
        "http://127.1/",
        "http://１２７.0.0.1/",
        "http://0x7f.0.0.1/",
        "http://127.0.0.01/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://exa mple.com/",
        "http://example.com/\r\nX: y",
        "http://example.com\\@127.0.0.1/",
        "http://[::1",
        "http://[fe80::1%25eth0]/",
        "http://a_%zz/",
        "http://" + "a" * 3_000,
    ],
)
def test_what_is_no_url_of_a_webhook_is_refused(url: str) -> None:
    """Other schemes, passwords, numbers in other forms than the usual, and what two readers would read differently."""
    with pytest.raises(InvalidError):
        target_of(url)


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://hooks.example.com/a/b?c=d#e", "hooks.example.com", 443, "/a/b?c=d"),
        ("http://EXAMPLE.com:8080", "example.com", 8080, "/"),
        ("https://bücher.example/", "xn--bcher-kva.example", 443, "/"),
        ("http://[2606:4700::1111]/x", "2606:4700::1111", 80, "/x"),
        ("https://x.example/über?q=%C3%BC", "x.example", 443, "/%C3%BCber?q=%C3%BC"),
        ("http://example.com./", "example.com", 80, "/"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, path: str) -> None:
    """A name comes in ASCII, and so does what is beyond it."""
    target = target_of(url)

    assert (target.host, target.port, target.path) == (host, port, path)


def test_one_closed_address_of_a_name_closes_it() -> None:
    """A name that is public and private at once is refused, whichever comes first."""
    for addresses in (["1.1.1.1", "10.0.0.1"], ["fe80::1%eth0", "1.1.1.1"]):
        with pytest.raises(RefusedAddressError):
            checked_addresses("x.example", 443, allowed=(), resolve=lambda *_, found=addresses: found)
