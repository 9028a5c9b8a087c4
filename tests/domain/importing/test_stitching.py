"""Several starts in one folder: what is of a line that was given up is no checkpoint of the run."""

from collections.abc import Sequence
from pathlib import Path

from app.domain.importing.reading import read_work_folder
from tests.xtuner_folders import LEARNT, PARROT, write_config, write_start

FIRST, SECOND, THIRD = "20240406_100000", "20240406_110000", "20240406_120000"
SAVED = {100: LEARNT, 200: LEARNT, 300: PARROT}


def first_training(folder: Path, *, on_disk: Sequence[int] = (100, 200, 300)) -> Path:
    """Write a start that came to 350 of 500, with a checkpoint at every 100."""
    write_config(folder, every=100)
    write_start(folder, FIRST, iterations=range(10, 351, 10), planned=500, answers=SAVED, has_ended=False)
    for iteration in on_disk:
        (folder / f"iter_{iteration}.pth").write_bytes(b"never opened")
    return folder


def files_in(folder: Path) -> list[int]:
    return [each.iteration for each in read_work_folder(folder).checkpoints if each.name]


def test_a_file_of_what_was_forgotten_is_no_checkpoint(tmp_path: Path) -> None:
    """Gone on from 200 and broken off at 220: `iter_300.pth` is of the training that was given up."""
    folder = first_training(tmp_path)
    for name, last in ((SECOND, 231), (THIRD, 221)):
        write_start(folder, name, iterations=range(210, last, 10), planned=500, resumed_from=200, has_ended=False)

    found = read_work_folder(folder)

    assert [each.iteration for each in found.checkpoints] == [0, 100, 200]
    assert (found.iteration, found.iterations) == (220, 500)


def test_a_file_that_was_written_again_is_one(tmp_path: Path) -> None:
    """The later start came to 300 too, and its checkpoint took the place of the first one's."""
    folder = first_training(tmp_path)
    write_start(folder, SECOND, iterations=range(210, 351, 10), planned=500, resumed_from=200, answers={300: LEARNT},
                has_ended=False)  # fmt: skip

    assert files_in(folder) == [100, 200, 300]


def test_a_file_beyond_the_last_line_is_one(tmp_path: Path) -> None:
    """A log may end before its training did: nothing says that this file was given up."""
    folder = first_training(tmp_path, on_disk=(100, 200, 300, 400))

    assert files_in(folder) == [100, 200, 300, 400]


def test_another_cadence_leaves_files_of_the_line_before(tmp_path: Path) -> None:
    """Gone on from 100 with a checkpoint at every 150: what lies at 200 was not saved again."""
    folder = first_training(tmp_path)
    write_start(folder, SECOND, iterations=range(110, 351, 10), planned=500, resumed_from=100,
                answers={150: LEARNT, 300: LEARNT}, has_ended=False)  # fmt: skip
    (folder / "iter_150.pth").write_bytes(b"never opened")

    assert files_in(folder) == [100, 150, 300]


def test_a_start_that_told_of_no_checkpoint_may_have_saved_all(tmp_path: Path) -> None:
    """Of one whose log is lost only the numbers are there: the files on the disk are taken as its own."""
    folder = first_training(tmp_path)
    write_start(folder, SECOND, iterations=range(210, 351, 10), planned=500, resumed_from=200, has_ended=False)
    (folder / SECOND / f"{SECOND}.log").unlink()
    numbers = "".join(f'{{"iter": {at}, "loss": 1.0}}\n' for at in range(210, 351, 10))
    (folder / SECOND / "vis_data" / "scalars.json").write_text(numbers, "utf-8")

    assert files_in(folder) == [100, 200, 300]
