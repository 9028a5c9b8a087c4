"""
What may be a password, and how one is kept: under argon2, a few at a time.

Refuses what is tried first: one character again and again, rows of keys, the name itself, and
such words as `password`, with whatever digits and signs around. Does not cover passwords that
were stolen elsewhere: no list of those is asked.
"""

import re
import secrets
from functools import cache
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from app.domain.errors import FieldError, InvalidError
from app.domain.messages import message

if TYPE_CHECKING:
    from pwdlib import PasswordHash

SHORTEST_PASSWORD = 10  # characters; NIST SP 800-63B asks for 8 and advises more
LONGEST_PASSWORD = 1_024  # characters; a longer one only makes the server work
HASHES_AT_ONCE = 2  # argon2 takes 64 MiB for each
LEAST_OWN = 4  # characters that are neither a common word nor a row of keys
LEAST_DISTINCT = 4  # different characters
COMMON_WORDS = (
    "password", "passwort", "passwd", "letmein", "welcome", "iloveyou", "administrator", "admin", "changeme", "change",
    "default", "secret", "master", "monkey", "dragon", "football", "baseball", "sunshine", "princess", "superman",
    "trustno", "login", "guest", "root", "user", "test", "temper", "hello", "pass", "mima",
)  # fmt: skip
ROWS = ("1234567890", "0987654321", "01234567890", "qwertyuiop", "qwertzuiop", "asdfghjkl", "zxcvbnm", "qazwsxedc",
        "1q2w3e4r5t6y", "abcdefghijklmnopqrstuvwxyz", "zyxwvutsrqponmlkjihgfedcba")  # fmt: skip
SHORTEST_ROW = 3
YEAR = re.compile(r"(?:19|20)\d\d")
LOOKALIKES = str.maketrans("@4031$5", "aaoeiss")

_hashing = BoundedSemaphore(HASHES_AT_ONCE)


def check_password_rules(password: str, *, name: str) -> None:
    """
    Refuse a password that is no good.

    Args:
        name: of the user it is for, which is no password.

    Raises:
        InvalidError: it is too short, too long, or among the first that are tried.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        text = message("Take {least} to {most} characters.", least=SHORTEST_PASSWORD, most=LONGEST_PASSWORD)
        raise InvalidError([FieldError("password", text)])
    if is_common(password, name=name):
        text = message("This is among the first that are tried. Take a few words that do not belong together.")
        raise InvalidError([FieldError("password", text)])


def is_common(password: str, *, name: str) -> bool:
    """Whether a password is made of common words, rows of keys, a year and the user's name alone."""
    folded = password.casefold()
    if len(set(folded)) < LEAST_DISTINCT:
        return True
    plain = YEAR.sub(" ", folded)
    return any(_own_characters(form, name.casefold()) < LEAST_OWN for form in (plain, plain.translate(LOOKALIKES)))


def _own_characters(text: str, name: str) -> int:
    for known in (name, *_known_parts()):
        text = text.replace(known, " ") if known else text
    text = re.sub(r"(.)\1{2,}", r"\1", text)
    return sum(character.isalnum() for character in text)


@cache
def _known_parts() -> tuple[str, ...]:
    """Return the common words, and every part of a row of keys, the longest first."""
    parts = {
        row[start:end] for row in ROWS for start in range(len(row)) for end in range(start + SHORTEST_ROW, len(row) + 1)
    }
    return tuple(sorted(parts | set(COMMON_WORDS), key=len, reverse=True))


def hash_of(password: str) -> str:
    """Return what is stored of a password."""
    with _hashing:
        return _hasher().hash(password)


def fits(password: str, known: str) -> bool:
    """Whether a password is the one of a hash; without a hash it never is, and that takes as long."""
    with _hashing:
        is_right = _hasher().verify(password[:LONGEST_PASSWORD], known or _unused_hash())
    return is_right and known != ""


@cache
def _hasher() -> "PasswordHash":
    from pwdlib import PasswordHash  # noqa: PLC0415 - argon2 is loaded when a password is first asked for

    return PasswordHash.recommended()


@cache
def _unused_hash() -> str:
    """Return the hash of a password nobody knows: checking it takes as long as checking a real one."""
    return _hasher().hash(secrets.token_urlsafe(32))
