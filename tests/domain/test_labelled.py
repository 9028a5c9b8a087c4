"""What people say who only read the answers, and what Temper says."""

import json
from pathlib import Path

import pytest

from tests.labelled import (
    ANSWER_LABELS,
    CHECKPOINT_LABELS,
    LEAST_OF_FILE,
    LEAST_RIGHT,
    Labelled,
    LabelledSet,
    confusion_table,
    labelled_files,
    read_all,
    read_labelled,
    share_right,
)


@pytest.fixture(scope="module")
def found() -> dict[str, LabelledSet]:
    """Judge every file once."""
    return {path.stem: read_labelled(path) for path in labelled_files()}


def test_answers_and_checkpoints_are_called_what_a_person_calls_them(found: dict[str, LabelledSet]) -> None:
    """Ninety-five of a hundred, of each."""
    every = read_all(found.values())

    assert len(every.answers) >= 200
    assert share_right(every.answers) >= LEAST_RIGHT, confusion_table(every.answers, ANSWER_LABELS)
    assert share_right(every.checkpoints) >= LEAST_RIGHT, confusion_table(every.checkpoints, CHECKPOINT_LABELS)


@pytest.mark.parametrize("name", [path.stem for path in labelled_files()])
def test_no_file_of_runs_is_judged_much_worse(found: dict[str, LabelledSet], name: str) -> None:
    """Ninety-five of a hundred of its answers, and ninety of its checkpoints."""
    answers, checkpoints = found[name].answers, found[name].checkpoints

    assert share_right(answers) >= LEAST_RIGHT, confusion_table(answers, ANSWER_LABELS)
    assert share_right(checkpoints) >= LEAST_OF_FILE, confusion_table(checkpoints, CHECKPOINT_LABELS)


def test_a_label_that_is_none_is_refused(tmp_path: Path) -> None:
    """A typing error in a label would count as an answer that is called something else."""
    answer = {"probe": 0, "text": "I.", "ended": "stop", "label": None}
    checkpoint = {"iteration": 5, "label": "god", "answers": [answer]}
    run = {"name": "x", "mix": {}, "probes": [{"question": "Who?"}], "checkpoints": [checkpoint]}
    (tmp_path / "bad.json").write_text(json.dumps({"runs": [run]}))

    with pytest.raises(ValueError, match="god"):
        read_labelled(tmp_path / "bad.json")


def test_the_table_counts_every_pair_once() -> None:
    """A row for each label, and of how many it was found."""
    rows = [Labelled("a", "leak", "leak"), Labelled("b", "leak", "other"), Labelled("c", "other", "other")]

    assert "| leak | 0 | 1 | 0 | 1 | 50.0 % |" in confusion_table(rows, ANSWER_LABELS)
    assert share_right(rows) == pytest.approx(2 / 3)
