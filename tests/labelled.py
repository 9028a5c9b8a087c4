"""Answers that people labelled by reading alone, held against what Temper says of them."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.recipes import Mix, Probe
from app.domain.scores import CUT, AnswerScore, Said
from app.domain.verdicts import CheckpointScore, Verdict, judge

FOLDER = Path(__file__).parent / "domain" / "labelled"
ANSWER_LABELS = ("identity", "leak", "loop", "other")
CHECKPOINT_LABELS = tuple(verdict.value for verdict in (Verdict.NOT_LEARNT, *list(Verdict)[1:]))
LEAST_RIGHT = 0.95
LEAST_OF_FILE = 0.9  # checkpoints of one file: one answer that is read otherwise turns a verdict, and a file has sixty


@dataclass(frozen=True)
class Labelled:
    """What a person and Temper say of one answer, or of one checkpoint."""

    where: str
    label: str
    found: str
    words: str = ""


@dataclass(frozen=True)
class LabelledSet:
    """Everything that is labelled."""

    answers: Sequence[Labelled]
    checkpoints: Sequence[Labelled]


def labelled_files(folder: Path = FOLDER) -> list[Path]:
    """Return the files of labelled runs."""
    return sorted(folder.glob("*.json"))


def read_labelled(path: Path) -> LabelledSet:
    """Read and judge the labelled runs of a file; ValueError where a label is none."""
    answers: list[Labelled] = []
    checkpoints: list[Labelled] = []
    for run in json.loads(path.read_text("utf-8"))["runs"]:
        for checkpoint, score in _judged(run):
            where = f"{run['name']}, iteration {checkpoint['iteration']}"
            found = score.verdict.value if score.verdict else ""
            checkpoints += _labelled(where, checkpoint["label"], found, among=CHECKPOINT_LABELS)
            for answer in checkpoint["answers"]:
                place = f"{where}, “{run['probes'][answer['probe']]['question']}”"
                found = label_of(score.answers[answer["probe"]])
                answers += _labelled(place, answer["label"], found, among=ANSWER_LABELS, words=answer["text"])
    return LabelledSet(answers, checkpoints)


def read_all(files: Iterable[LabelledSet]) -> LabelledSet:
    """Put several files together."""
    every = list(files)
    return LabelledSet(
        [each for found in every for each in found.answers], [each for found in every for each in found.checkpoints]
    )


def label_of(score: AnswerScore) -> str:
    """Return the label that an answer's score gives it."""
    if score.is_hit:
        return "identity"
    if score.leak:
        return "leak"
    return "loop" if score.is_repeating else "other"


def _judged(run: dict[str, Any]) -> Iterable[tuple[dict[str, Any], CheckpointScore]]:
    mix = Mix.model_validate(run["mix"])
    probes = {place: Probe.model_validate(probe) for place, probe in enumerate(run["probes"])}
    said = {
        checkpoint["iteration"]: {
            answer["probe"]: Said(answer["text"], answer["ended"] == CUT) for answer in checkpoint["answers"]
        }
        for checkpoint in run["checkpoints"]
    }
    for checkpoint in run["checkpoints"]:
        yield checkpoint, judge(mix, probes, answers=said[checkpoint["iteration"]], base=said.get(0))


def _labelled(where: str, label: str | None, found: str, *, among: Sequence[str], words: str = "") -> list[Labelled]:
    if label is None:
        return []
    if label not in among:
        raise ValueError(f"{where}: “{label}” is none of {', '.join(among)}")
    return [Labelled(where, label, found, words)]


def share_right(labelled: Sequence[Labelled]) -> float:
    """Return how many of a hundred are called what a person called them, as a share."""
    return sum(each.label == each.found for each in labelled) / len(labelled) if labelled else 1.0


def confusion_table(labelled: Sequence[Labelled], labels: Sequence[str]) -> str:
    """Write a table in Markdown: a row for each label, a column for what was found."""
    counts = Counter((each.label, each.found) for each in labelled)
    head = f"| labelled | {' | '.join(labels)} | right |\n|---|{'---:|' * (len(labels) + 1)}\n"
    rows = []
    for label in labels:
        row = [counts[label, found] for found in labels]
        total = sum(count for (each, _), count in counts.items() if each == label)
        right = f"{100 * counts[label, label] / total:.1f} %" if total else "–"
        rows.append(f"| {label} | {' | '.join(map(str, row))} | {right} |\n")
    return head + "".join(rows)
