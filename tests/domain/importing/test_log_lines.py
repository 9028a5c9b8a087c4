"""A text log, however it is made: no line of it takes more than its share of time, and all answers together a limit."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from time import process_time

import pytest

from app.domain.importing import room
from app.domain.importing.exchanges import read_exchanges
from app.domain.importing.found import Start
from app.domain.importing.log_lines import LONGEST_SAID, LogReader
from app.domain.importing.reading import read_work_folder
from app.domain.importing.room import Room
from tests.xtuner_folders import LEARNT, QUESTIONS, chat, tutorial_run

HEAD = b"2024/04/06 20:40:00 - mmengine - INFO - "
ASKED = HEAD + b"after_train_iter in EvaluateChatHook.\n"
SAMPLE = HEAD + b"Sample output:\n"


def read(log: bytes, *, left: int = room.MOST_CHARACTERS, name: str = "20240406_203957") -> Start:
    """Read a log into a start."""
    start = Start(name)
    LogReader(start, room=Room(left)).read(BytesIO(log))
    return start


def seconds_of(work: Callable[[], object]) -> float:
    """Return the processor time that some work takes."""
    began = process_time()
    work()
    return process_time() - began


def test_empty_lines_take_no_longer_than_others() -> None:
    """An answer of line ends alone ends at the longest too: 200 kB of them are read at once."""
    assert seconds_of(lambda: read(ASKED + SAMPLE + b"\n" * 200_000)) < 2


def test_a_long_answer_is_looked_through_once() -> None:
    """However many templates there are whose prompts it may begin with."""
    texts = [f"{number} {'x' * LONGEST_SAID}" for number in range(40)]

    assert seconds_of(lambda: read_exchanges(texts, questions=["who are you"] * 40, template="no such")) < 3


def test_an_answer_of_many_lines_is_cut_at_the_longest() -> None:
    """Its line ends count."""
    start = read(ASKED + SAMPLE + b"ab\n" * LONGEST_SAID + HEAD + b"Saving checkpoint at 10 iterations\n")

    assert len(start.said[10][0]) <= LONGEST_SAID
    assert start.said[10][0].startswith("ab\nab\nab")


def test_all_answers_of_a_log_have_one_limit() -> None:
    """Evaluations beyond it are passed over, and what was measured is there all the same."""
    numbers = [HEAD + b"Iter(train) [%d/90] lr: 1 loss: 1.0\n" % at for at in range(1, 11)]
    log = b"".join(line + ASKED + SAMPLE + b"x" * 1_000 + b"\n" for line in numbers)

    start = read(log, left=5_000)

    assert list(start.measured) == list(range(1, 11))
    assert list(start.said) == [1, 2, 3, 4, 5]


def test_files_of_answers_and_logs_share_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files go before the log, whose own words of the same checkpoints take nothing more."""
    folder = tutorial_run(tmp_path)
    texts = [chat(question, answer) for question, answer in zip(QUESTIONS, LEARNT, strict=True)]
    monkeypatch.setattr(room, "MOST_CHARACTERS", sum(max(room.LEAST, len(text)) for text in texts))

    found = read_work_folder(folder)

    assert [each.iteration for each in found.checkpoints if each.said] == [300]
    assert len(found.starts[0].measured) == 76


@pytest.mark.parametrize("day", ["01/01", "02/29"])
def test_the_last_year_has_no_next_one(day: str) -> None:
    """A line without a year, before the start's own day, is of the year after; after 9999 there is none."""
    line = f"{day} 00:00:00 - mmengine - INFO - Iter(train) [10/300] lr: 1 loss: 1.0\n"
    start = Start("99991231_235959")
    reader = LogReader(start)
    reader.read(BytesIO(b"9999/12/31 23:59:59 - mmengine - INFO - begin\n" + line.encode()))

    assert list(start.measured) == [10]
