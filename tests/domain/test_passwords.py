"""What may be a password."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.domain.errors import InvalidError
from app.domain.passwords import LEAST_OWN, check_password_rules, is_common


@pytest.mark.parametrize(
    "password",
    [
        "password123", "Password1234!", "passwort2026", "P@ssw0rd2024", "p4$$w0rd!!", "aaaaaaaaaaaa", "1234567890",
        "9876543210987", "qwertyuiop12", "qwerty123456", "adminadmin", "admin2026!!!", "letmein-letmein", "ababababab",
        "ada@example.org", "ada@example.org1", "temper-temper", "Welcome2026", "abcdefghij", "zzzzzyyyyyxxxxx",
        "              ", "!!!!!!!!!!!!",
    ],
)  # fmt: skip
def test_what_is_tried_first_is_refused(password: str) -> None:
    """Common words, rows of keys, years, repetition, and the name, in whatever dress."""
    with pytest.raises(InvalidError) as refused:
        check_password_rules(password, name="ada@example.org")

    assert refused.value.fields[0].field == "password"


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "a-long-and-odd-password",
        "8302749165",
        "身份 是 一个 很长 的 句子",
        "Tr0ub4dor&3x",
        "kf8dJ2mmQp",
    ],
)
def test_what_nobody_guesses_is_taken(password: str) -> None:
    """A few words that do not belong together do, as do random characters and other scripts."""
    check_password_rules(password, name="ada")


@given(text=st.text(alphabet=st.characters(categories=["Ll", "Lo", "Nd"]), min_size=10, max_size=40))
@hypothesis_settings(max_examples=60, deadline=None)
def test_a_common_word_around_it_makes_no_password_worse(text: str) -> None:
    """What is good stays good with `password` before it; a common one stays common in capitals."""
    if not is_common(text, name="") and len(set(text.casefold())) > 3 * LEAST_OWN:
        assert not is_common(f"password{text}", name="")
    assert is_common(text, name=text)
