"""What people say who only read the answers, and what Temper says."""

import json
from pathlib import Path

import pytest

from tests.labelled import (
    ANSWER_LABELS,
    CHECKPOINT_LABELS,
    LEAST_RIGHT,
    Labelled,
    LabelledSet,
    confusion_table,
    read_labelled,
    share_right,
)


@pytest.fixture(scope="module")
def labelled() -> LabelledSet:
    return read_labelled()


def test_of_a_hundred_answers_ninety_five_are_called_what_a_person_calls_them(labelled: LabelledSet) -> None:
    """Identity, leak, loop or other."""
    assert labelled.answers
    assert share_right(labelled.answers) >= LEAST_RIGHT, confusion_table(labelled.answers, ANSWER_LABELS)


def test_of_a_hundred_checkpoints_ninety_five_are_called_what_a_person_calls_them(labelled: LabelledSet) -> None:
    """Not learnt, good, leaking or parrot."""
    assert labelled.checkpoints
    assert share_right(labelled.checkpoints) >= LEAST_RIGHT, confusion_table(labelled.checkpoints, CHECKPOINT_LABELS)


def test_a_label_that_is_none_is_refused(tmp_path: Path) -> None:
    """A typing error in a label would count as an answer that is called something else."""
    answer = {"probe": 0, "text": "I.", "ended": "stop", "label": None}
    checkpoint = {"iteration": 5, "label": "god", "answers": [answer]}
    run = {"name": "x", "mix": {}, "probes": [{"question": "Who?"}], "checkpoints": [checkpoint]}
    (tmp_path / "bad.json").write_text(json.dumps({"runs": [run]}))

    with pytest.raises(ValueError, match="god"):
        read_labelled(tmp_path)


def test_the_table_counts_every_pair_once() -> None:
    """A row for each label, and of how many it was found."""
    rows = [Labelled("a", "leak", "leak"), Labelled("b", "leak", "other"), Labelled("c", "other", "other")]

    assert "| leak | 0 | 1 | 0 | 1 | 50.0 % |" in confusion_table(rows, ANSWER_LABELS)
    assert share_right(rows) == pytest.approx(2 / 3)
