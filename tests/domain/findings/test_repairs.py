"""Repairs: chosen by kind and by row, in a new file."""

from pathlib import Path

from app.domain.datasets.rows import index_file, read_rows
from app.domain.findings.choices import Choice
from app.domain.findings.kinds import FindingKind
from app.domain.findings.repairs import apply_repairs
from tests.domain.findings.rows import CLEAN, pairs, row, stored

K = FindingKind


def repaired(path: Path, choice: Choice) -> list[list[tuple[str, str]]]:
    """Repair a file; return the questions and answers of its rows."""
    target = path.with_name("repaired.jsonl")
    apply_repairs(path, choice, target)
    return [[(turn["input"], turn["output"]) for turn in each["conversation"]] for each in read_rows(target)]


def test_a_choice_of_kinds_leaves_all_else_as_it_is(tmp_path: Path) -> None:
    """Empty rows go, and the marker stays."""
    path = stored(tmp_path, *pairs(("User: a", "b"), ("c", ""), ("d", "e")))

    assert repaired(path, Choice([K.EMPTY_ANSWER])) == [[("User: a", "b")], [("d", "e")]]


def test_a_choice_of_rows_is_counted_as_people_count(tmp_path: Path) -> None:
    """Only the second of two rows of the same kind is put right."""
    path = stored(tmp_path, *pairs(("User: a", "b"), ("User: c", "d")))

    assert repaired(path, Choice([K.ODD_TURNS], rows={2})) == [[("User: a", "b")], [("c", "d")]]


def test_rows_can_be_dropped_whatever_was_found(tmp_path: Path) -> None:
    """A conflict with another source is settled so."""
    path = stored(tmp_path, *pairs(*CLEAN))

    assert repaired(path, Choice(drop={1, 5})) == [[pair] for pair in CLEAN[1:4]]


def test_the_first_answer_is_kept_after_its_own_repair(tmp_path: Path) -> None:
    """A damaged first answer is mended before others take it; the first row may itself go."""
    path = stored(tmp_path, *pairs(("Which drink is it?", "A cafÃ© au lait."), ("which drink is it", "Tea.")))

    kinds = [K.CONFLICT, K.ENCODING_DAMAGE]
    both = repaired(path, Choice(kinds))
    path.with_name("repaired.jsonl").unlink()
    index_file(path.with_name("repaired.jsonl")).unlink()
    second = repaired(path, Choice(kinds, drop={1}))

    assert both == [[("Which drink is it?", "A café au lait.")], [("which drink is it", "A café au lait.")]]
    assert second == both[1:]


def test_the_last_answer_of_a_conversation_is_replaced(tmp_path: Path) -> None:
    """What stands before it is the same, so that the first answer fits."""
    talk = ("Pick a colour.", "Red.")
    path = stored(tmp_path, row(talk, ("Why?", "It is warm.")), row(talk, ("why", "It is loud.")))

    assert repaired(path, Choice([K.CONFLICT]))[1] == [talk, ("why", "It is warm.")]


def test_what_was_done_is_counted(tmp_path: Path) -> None:
    """The old file stays as it is, and the new one has an index, as the store asks."""
    path = stored(tmp_path, *pairs(("User: a", "b"), ("c", ""), ("d", "e")))
    before = path.read_bytes()

    done = apply_repairs(path, Choice(list(FindingKind)), tmp_path / "repaired.jsonl")

    assert (done.rows, done.dropped, done.changed) == (2, 1, 1)
    assert done.size_bytes == (tmp_path / "repaired.jsonl").stat().st_size
    assert index_file(tmp_path / "repaired.jsonl").exists()
    assert path.read_bytes() == before
