"""What people say who only read the answers, and what Temper says."""

import json
from pathlib import Path

import pytest

from tests.labelled import (
    ANSWER_LABELS,
    CHECKPOINT_LABELS,
    LEAST_HELD_OUT,
    LEAST_RIGHT,
    Labelled,
    confusion_table,
    labelled_files,
    read_labelled,
    share_right,
)


@pytest.mark.parametrize("path", labelled_files(), ids=lambda path: path.stem)
def test_answers_and_checkpoints_are_called_what_a_person_calls_them(path: Path) -> None:
    """Ninety-five of a hundred; of the checkpoints of runs that nothing was tuned on, ninety."""
    found = read_labelled(path)
    least = LEAST_HELD_OUT if path.stem == "held_out" else LEAST_RIGHT

    assert found.answers
    assert found.checkpoints
    assert share_right(found.answers) >= LEAST_RIGHT, confusion_table(found.answers, ANSWER_LABELS)
    assert share_right(found.checkpoints) >= least, confusion_table(found.checkpoints, CHECKPOINT_LABELS)


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
