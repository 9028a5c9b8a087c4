"""The checklist of attacks is whole: each of its rows has a test, and each guard of the table is where it says."""

from tests.attacks.mutations import ROOT, elsewhere, guards, rows

ROWS = range(1, 49)


def test_every_attack_has_a_test() -> None:
    """Each row is looked at by a test whose docstring begins with its number, or by one that is pointed to."""
    assert sorted(set(ROWS) - rows()) == []


def test_what_stands_elsewhere_is_there() -> None:
    """A test that is pointed to exists."""
    for names in elsewhere().values():
        for name in names:
            path, _, test = name.partition("::")
            assert f"def {test}(" in (ROOT / path).read_text("utf-8") if test else (ROOT / path).is_file(), name


def test_every_guard_is_where_the_table_says() -> None:
    """The text that a mutation replaces stands once in its file; `python -m tests.attacks.mutations` replaces it."""
    lost = [guard for guard in guards() if (ROOT / guard.file).read_text("utf-8").count(guard.text) != 1]

    assert lost == []
    assert [guard for guard in guards() if guard.text == guard.replacement] == []


def test_every_attack_has_a_guard() -> None:
    """No row is without a guard that can be removed."""
    assert sorted(set(ROWS) - {guard.row for guard in guards()}) == []
