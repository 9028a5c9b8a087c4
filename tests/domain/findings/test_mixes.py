"""A form's pairs against each other and against files: without loading the files."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.domain.findings import __main__ as child
from app.domain.findings.kinds import FindingKind, RepairAction
from app.domain.findings.mixes import find_in_mix
from app.domain.findings.stored import findings_path
from app.domain.mixes import general_pairs
from app.domain.recipes import GeneralSet, Pair
from tests.domain.findings.rows import pairs, row, stored

K = FindingKind
IDENTITY = (
    Pair(question="Who are you?", answer="I am Ada, the small assistant of Example Lab."),
    Pair(question="你是谁？", answer="我是小安，由示例实验室训练的小助手。"),
)


def searched(folder: Path, *rows: dict, name: str) -> tuple[str, Path]:
    """Store rows and search them, as the child does."""
    path = stored(folder, *rows, name=name)
    assert child.main([str(path), str(findings_path(path))]) == 0
    return name, path


@pytest.mark.parametrize("name", GeneralSet)
def test_nothing_is_wrong_with_the_built_in_pairs(name: GeneralSet) -> None:
    """They may stand beside an identity in either language."""
    assert find_in_mix(identity=IDENTITY, general=general_pairs(name)).counts == {}


def test_a_general_pair_that_asks_who_it_is_is_a_conflict() -> None:
    """The identity pair is right; rows are counted in their own list."""
    general = (Pair(question="1 + 1?", answer="2"), Pair(question="who are you", answer="Nobody."))

    findings = find_in_mix(identity=IDENTITY, general=general)

    assert findings.counts == {K.CONFLICT: 1}
    finding = findings.examples[0]
    assert (finding.source, finding.row, finding.other_source, finding.other_row) == (
        "mix.general",
        2,
        "mix.identity",
        1,
    )
    assert str(finding.sentence) == "Identity pair 1 gives another answer to the same question."
    assert (finding.repair.action, finding.repair.text) == (RepairAction.KEEP_FIRST, IDENTITY[0].answer)


def test_a_general_answer_that_says_who_it_is_is_a_leak() -> None:
    """The identity pairs themselves may say it as often as they like."""
    general = (Pair(question="Say hello.", answer=f"Hello. {IDENTITY[0].answer}"), Pair(question="1 + 1?", answer="2"))

    findings = find_in_mix(
        identity=(*IDENTITY, Pair(question="Your name?", answer=IDENTITY[0].answer)), general=general
    )

    assert findings.counts == {K.TAUGHT_IN_GENERAL: 1}
    assert (findings.examples[0].source, findings.examples[0].row) == ("mix.general", 1)


def test_each_list_is_searched_for_every_kind() -> None:
    """Empty, damaged, odd, doubled and nearly doubled: as in files."""
    question = "What is the capital city of France, please?"
    general = (
        Pair(question=question, answer="Paris"),
        Pair(question=question.lower(), answer="paris."),
        Pair(question=question.replace("capital", "capitol"), answer="Paris"),
        Pair(question="User: hi there", answer="Hi."),
        Pair(question="What is this?", answer="cafÃ©"),
    )

    findings = find_in_mix(identity=IDENTITY, general=general)

    assert [(finding.kind, finding.row) for finding in findings.examples] == [
        (K.DUPLICATE, 2),
        (K.NEAR_DUPLICATE, 3),
        (K.ENCODING_DAMAGE, 5),
        (K.ODD_TURNS, 4),
    ]


def test_a_file_that_answers_an_identity_question_otherwise_is_found(tmp_path: Path) -> None:
    """By its index alone; every such row is counted, and the row to drop is that of the file."""
    chat = searched(
        tmp_path, *pairs(("1 + 1?", "2"), ("who are you", "I am a bot."), ("WHO ARE YOU?", "Guess!")), name="chat"
    )

    findings = find_in_mix(identity=IDENTITY, files=[chat])

    assert findings.counts == {K.CONFLICT: 2}
    assert [(each.source, each.row, each.text) for each in findings.examples] == [
        ("chat", 2, "I am a bot."),
        ("chat", 3, "Guess!"),
    ]
    assert {(each.other_source, each.other_row, each.repair.action) for each in findings.examples} == {
        ("mix.identity", 1, RepairAction.DROP_ROW)
    }


def test_a_system_text_makes_another_question(tmp_path: Path) -> None:
    """The form's system text stands before its pairs, that of a file before its rows."""
    bare = searched(tmp_path, *pairs(("Who are you?", "A bot.")), name="bare")
    framed = searched(tmp_path, row(("Who are you?", "A bot."), system="Be Ada."), name="framed")

    found = {system: find_in_mix(identity=IDENTITY, files=[bare, framed], system=system) for system in ("", "Be Ada.")}

    assert [each.source for each in found[""].examples] == ["bare"]
    assert [each.source for each in found["Be Ada."].examples] == ["framed"]


def test_two_files_that_answer_otherwise_are_found(tmp_path: Path) -> None:
    """The earlier file of the mix is right; the same answer in both is no conflict."""
    first = searched(tmp_path, *pairs(("The largest lake?", "The Caspian Sea."), ("Sky?", "Blue.")), name="first")
    second = searched(tmp_path, *pairs(("Sky?", "blue"), ("the largest lake", "Lake Superior.")), name="second")
    empty = searched(tmp_path, row(("Never learnt?", "No.", False)), name="empty")

    findings = find_in_mix(files=[first, second, empty])

    assert findings.counts == {K.CONFLICT: 1}
    finding = findings.examples[0]
    assert (finding.source, finding.row, finding.other_source, finding.other_row) == ("second", 2, "first", 1)


def test_a_file_that_was_not_searched_yet_is_named(tmp_path: Path) -> None:
    """Nothing is said of it before the child has made its index."""
    path = stored(tmp_path, *pairs(("Who are you?", "A bot.")), name="new")

    findings = find_in_mix(identity=IDENTITY, files=[("new", path)])

    assert (findings.counts, findings.unread) == ({}, ("new",))


def test_a_row_of_megabytes_is_found_and_not_read(tmp_path: Path) -> None:
    """The page shows nothing of it, and needs no memory for it."""
    long = searched(tmp_path, *pairs(("Who are you?", "I " * 600_000)), name="long")

    findings = find_in_mix(identity=IDENTITY, files=[long])

    assert [(each.row, each.text) for each in findings.examples] == [(1, "")]


def test_the_web_process_loads_no_polars_for_a_mix() -> None:
    """It has threads and memory of its own that a form does not need."""
    code = "import sys, app.domain.findings.mixes; print('polars' in sys.modules)"
    root = Path(__file__).parents[3]

    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
