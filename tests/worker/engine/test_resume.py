"""Which checkpoint a run goes on from: never one that is not what was written."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.resume import Candidate, Resumption, hash_checkpoint, problem_of, state_file, weights_file


def save(folder: Path, iteration: int) -> Candidate:
    """Write a checkpoint's two files; return it with its hash."""
    for file in (weights_file(folder, iteration), state_file(folder, iteration)):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(f"{file.name} of {file.parent.name}".encode())
    return Candidate(iteration, hash_checkpoint(folder, iteration))


def test_the_newest_is_taken(tmp_path: Path) -> None:
    """The first of those that are named."""
    older, newer = save(tmp_path, 5), save(tmp_path, 10)
    resumption = Resumption()

    resumption.choose(tmp_path, [newer, older])

    assert (resumption.iteration, resumption.damaged) == (10, [])


@pytest.mark.parametrize("place", [weights_file, state_file])
@pytest.mark.parametrize("harm", ["gone", "empty", "cut", "longer"])
def test_what_is_not_what_was_written_is_passed_over(tmp_path: Path, place: object, harm: str) -> None:
    """In either of the two files; the one before it is taken, and the harm is named."""
    older, newer = save(tmp_path, 5), save(tmp_path, 10)
    file = (weights_file if place is weights_file else state_file)(tmp_path, 10)
    content = file.read_bytes()
    file.unlink()
    if harm != "gone":
        file.write_bytes({"empty": b"", "cut": content[:-1], "longer": content + b"x"}[harm])
    resumption = Resumption()

    resumption.choose(tmp_path, [newer, older])

    assert resumption.iteration == 5
    assert [each.iteration for each in resumption.damaged] == [10]
    assert resumption.damaged[0].problem


def test_without_a_whole_one_the_run_begins_anew(tmp_path: Path) -> None:
    """All are named."""
    resumption = Resumption()

    resumption.choose(tmp_path, [Candidate(10, "a+b"), Candidate(5, "")])

    assert resumption.iteration == 0
    assert [each.iteration for each in resumption.damaged] == [10, 5]


@given(where=st.integers(min_value=0), bit=st.integers(0, 7))
def test_no_single_bit_goes_unnoticed(tmp_path_factory: pytest.TempPathFactory, where: int, bit: int) -> None:
    """Wherever it is."""
    folder = tmp_path_factory.mktemp("run")
    candidate = save(folder, 5)
    file = state_file(folder, 5)
    content = bytearray(file.read_bytes())

    content[where % len(content)] ^= 1 << bit
    file.write_bytes(content)

    assert problem_of(folder, candidate)


@pytest.mark.parametrize("text", ["", "five:abc", ":abc"])
def test_what_names_no_checkpoint_is_refused(text: str) -> None:
    """A command line is read before anything heavy is imported."""
    with pytest.raises(ValueError, match="invalid literal"):
        Candidate.read(text)
