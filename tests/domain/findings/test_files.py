"""What is found in a file: each kind with its row, its repair, and what is none of it."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.findings import blocks
from app.domain.findings.choices import Choice
from app.domain.findings.files import find_in_file, find_taught_in_file
from app.domain.findings.kinds import Finding, FindingKind, Findings, RepairAction
from app.domain.findings.repairs import apply_repairs
from tests.domain.findings.rows import CLEAN, pairs, row, stored

K = FindingKind
FRANCE = "What is the capital city of France, please?"


def found(folder: Path, *rows: dict[str, Any]) -> Findings:
    """Search rows, after those that nothing is wrong with."""
    return find_in_file(stored(folder, *pairs(*CLEAN), *rows), source="set")


def only(findings: Findings) -> Finding:
    """Return the only thing that was found."""
    assert findings.total == 1, findings.counts
    return findings.examples[0]


def test_clean_rows_give_no_findings(tmp_path: Path) -> None:
    """Accents, dashes, typographic quotes and Chinese are no damage."""
    findings = found(tmp_path)

    assert (findings.rows, findings.total, findings.examples) == (len(CLEAN), 0, ())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Who are you?", "  who ARE\tyou "),
        ("你是谁？", "你是谁"),
        ("ABC是什么?", "ＡＢＣ是什么？"),
    ],
)
def test_one_question_with_two_answers_is_a_conflict(tmp_path: Path, first: str, second: str) -> None:
    """Width, case, white space and the mark at the end make no other question; the first answer is kept."""
    finding = only(found(tmp_path, row((first, "I am Ada.")), row((second, "I am Bob."))))

    assert (finding.kind, finding.source, finding.row, finding.turn) == (K.CONFLICT, "set", 7, 1)
    assert (finding.other_source, finding.other_row, finding.other_text) == ("set", 6, "I am Ada.")
    assert str(finding.sentence) == "Row 6 gives another answer to the same question."
    assert (finding.repair.action, finding.repair.text) == (RepairAction.KEEP_FIRST, "I am Ada.")


def test_another_context_is_another_question(tmp_path: Path) -> None:
    """A system text, or what was said before, may change the answer; what carries no loss is not learnt."""
    findings = found(
        tmp_path,
        row(("Who are you?", "I am Ada.")),
        row(("Who are you?", "I am Bob."), system="You are Bob."),
        row(("Let us play.", "Yes."), ("Who are you?", "I am a pirate.")),
        row(("Who are you?", "I am nobody.", False), ("Really?", "No.")),
    )

    assert findings.counts == {}


def test_a_conflict_in_the_middle_of_a_conversation_drops_the_row(tmp_path: Path) -> None:
    """What follows speaks of the answer that stands there, so that no other one can."""
    first = row(("Pick a colour.", "Red, then."), ("Why is that?", "It is warm."))
    second = row(("Pick a colour.", "Blue, then."), ("Why is that?", "It is cool."))

    finding = only(found(tmp_path, first, second))

    assert (finding.kind, finding.row, finding.turn) == (K.CONFLICT, 7, 1)
    assert finding.repair.action is RepairAction.DROP_ROW


def test_an_empty_answer_is_no_answer_to_keep(tmp_path: Path) -> None:
    """It is found for itself, and conflicts with nothing."""
    finding = only(found(tmp_path, row(("Who are you?", " ")), row(("Who are you?", "I am Ada."))))

    assert (finding.kind, finding.row, finding.repair.action) == (K.EMPTY_ANSWER, 6, RepairAction.DROP_ROW)


def test_the_same_row_again_is_a_duplicate(tmp_path: Path) -> None:
    """All turns count; the later row goes."""
    talk = (("Hello there, who is it?", "Ada."), ("And what do you do?", "I answer."))

    finding = only(found(tmp_path, row(*talk), row(talk[0], ("And then?", "Nothing more.")), row(*talk)))

    assert (finding.kind, finding.row, finding.turn, finding.other_row) == (K.DUPLICATE, 8, None, 6)
    assert finding.repair.action is RepairAction.DROP_ROW


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (FRANCE, "What is the capitol city of France, please?"),
        (
            "请问中华人民共和国的首都是哪一座城市，能不能告诉我",
            "请问中华人民共和国的首都是哪一座城市，能不能告诉我呢",
        ),
    ],
)
def test_a_slip_of_the_pen_is_a_near_duplicate(tmp_path: Path, first: str, second: str) -> None:
    """The sentence says whether the answers are the same."""
    same = only(found(tmp_path, row((first, "So.")), row((second, "So."))))
    other = only(found(tmp_path, row((first, "So.")), row((second, "Not so."))))

    assert (same.kind, same.row, same.other_row) == (K.NEAR_DUPLICATE, 7, 6)
    assert str(same.sentence) == "Row 6 asks nearly the same and gives the same answer."
    assert str(other.sentence) == "Row 6 asks nearly the same and gives another answer."


def test_other_numbers_and_other_contexts_are_not_near(tmp_path: Path) -> None:
    """A table of sums has a million questions that differ by one digit."""
    findings = found(
        tmp_path,
        row(("What do you get for 1234 plus 5678, please?", "6912")),
        row(("What do you get for 1234 plus 5679, please?", "6913")),
        row((FRANCE, "Paris.")),
        row((FRANCE.replace("capital", "capitol"), "Paris."), system="Be brief."),
    )

    assert findings.counts == {}


@pytest.mark.parametrize("blank", ["", "  \n", "\u3000", "\u200b\ufeff"])
def test_nothing_that_is_seen_is_empty(tmp_path: Path, blank: str) -> None:
    """An answer that carries no loss may be empty; a question may not."""
    findings = found(
        tmp_path,
        row((blank, "An answer to nothing.")),
        row(("Is this asked?", blank)),
        row(("And is this?", blank, False), ("What about it?", "It carries loss.")),
    )

    assert findings.counts == {K.EMPTY_QUESTION: 1, K.EMPTY_ANSWER: 1}
    assert [finding.row for finding in findings.examples] == [7, 6]


@pytest.mark.parametrize(
    ("damaged", "mended"),
    [
        ("It is called café – naïve.".encode().decode("windows-1252"), "It is called café – naïve."),
        ("你好，世界".encode().decode("latin-1"), "你好，世界"),
        ("你好，我是问答助理".encode().decode("gb18030", "ignore"), None),
        ("你好，世界！".encode().decode("gb18030"), "你好，世界！"),
        ("a\x07bell", "abell"),
        ("zero\u200bwidth", "zerowidth"),
        ("你\u200b好", "你好"),
        ("\ufeffHello", "Hello"),
        ("lost \ufffd here", None),
        ("锟斤拷", None),
    ],
)
def test_damaged_text_is_put_back_or_its_row_goes(tmp_path: Path, damaged: str, mended: str | None) -> None:
    """Where the text can still be read, it is proposed; where characters are lost, the row goes."""
    finding = only(found(tmp_path, row(("What is this?", damaged))))

    assert (finding.kind, finding.row, finding.field) == (K.ENCODING_DAMAGE, 6, "output")
    assert finding.repair.text == mended
    assert (finding.repair.action is RepairAction.DROP_ROW) is (mended is None)


@pytest.mark.parametrize(
    "text", ["می\u200cخواهم", "👨\u200d👩\u200d👧", "ก\u200bข", "Привет, Ёлка!", "10 °C ± 2", "a\tb\r\nc"]
)
def test_what_a_script_needs_is_no_damage(tmp_path: Path, text: str) -> None:
    """Persian, Thai and emoji use characters that nobody sees."""
    assert found(tmp_path, row(("What is this?", text))).counts == {}


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("User: hello there", "hello there"),
        ("用户：你好啊", "你好啊"),
        ("### Instruction:\nSay hello", "Say hello"),
        ("<|im_start|>user\nhello there<|im_end|>", "hello there"),
        ("[INST] hello there [/INST]", "hello there"),
        ("hello there</s>", "hello there"),
        ("hello <|im_end|> there", None),
        ("Human: hello\n\nAssistant: hi", None),
        ("User:", None),
    ],
)
def test_role_markers_and_template_tokens_are_odd(tmp_path: Path, text: str, mended: str | None) -> None:
    """Around the text they are left out; within it the row goes."""
    finding = only(found(tmp_path, row((text, "An answer."))))

    assert (finding.kind, finding.row, finding.field) == (K.ODD_TURNS, 6, "input")
    assert finding.repair.text == mended


@pytest.mark.parametrize(
    "text", ["Is user: a keyword in YAML?", "Write <b>bold</b> and [INSTALL]", "问题：一加一等于几"]
)
def test_words_that_only_look_like_markers_are_fine(tmp_path: Path, text: str) -> None:
    """A marker begins the text, and a token is spelled as templates spell it."""
    assert found(tmp_path, row((text, "An answer."))).counts == {}


def test_a_row_without_loss_teaches_nothing(tmp_path: Path) -> None:
    """One turn that carries loss is enough."""
    findings = found(
        tmp_path,
        row(("Asked for nothing?", "Yes.", False)),
        row(("Asked for context?", "Yes.", False), ("And then?", "It is learnt.")),
    )

    assert (only(findings).kind, only(findings).row) == (K.NO_LOSS, 6)


def test_an_answer_that_holds_what_identity_teaches_is_a_leak(tmp_path: Path) -> None:
    """Half of the taught answer in one run is enough, whatever the punctuation; in Chinese too."""
    taught = ("I am Ada, the small assistant of Example Lab.", "我是小安，由示例实验室训练的小助手。")

    path = stored(
        tmp_path,
        *pairs(*CLEAN),
        row(("Say hello, will you?", "Hello! I am Ada – the SMALL assistant. How do you do?")),
        row(("打个招呼好吗？", "你好！我是小安，由示例实验室训练。")),
        row(("Who is Ada Lovelace?", "I am told Ada wrote programs.")),
    )

    findings = find_taught_in_file(path, taught)

    assert findings.counts == {K.TAUGHT_IN_GENERAL: 2}
    assert [finding.row for finding in findings.examples] == [6, 7]


def test_at_most_200_examples_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    """They are the first by row."""
    findings = find_in_file(stored(tmp_path, *pairs(*((f"Question {n}?", "") for n in range(1_000)))))

    assert findings.counts == {K.EMPTY_ANSWER: 1_000}
    assert [finding.row for finding in findings.examples] == list(range(1, 201))


def test_findings_are_the_same_after_they_were_written(tmp_path: Path) -> None:
    """Those of an older rule set are not read at all."""
    findings = found(tmp_path, row(("User: x", "")), row(("Who?", "I\x07.")), row(("Who?", "You.")))
    written = json.loads(json.dumps(findings.as_json()))

    assert Findings.from_json(written) == findings
    assert Findings.from_json(written | {"rules": 0}) is None


def test_blocks_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found does not depend on where a block of the file ends."""
    rows = (row((FRANCE, "Paris.")), row(("User: x", "y"), ("a", "")), row((FRANCE.lower(), "Rome.")))
    whole = found(tmp_path, *rows)

    monkeypatch.setattr(blocks, "BLOCK_BYTES", 100)

    assert found(tmp_path, *rows) == whole
    assert whole.total == 3


def test_neighbours_in_six_orders_find_what_all_pairs_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip anywhere is found among many questions; of two slips in one question nine of ten are."""
    chance = random.Random(1)  # noqa: S311 - no secret
    words = ("river", "planet", "camera", "bridge", "island", "coffee", "ticket", "kitchen", "garden", "winter")
    asked = [" ".join(chance.choices(words, k=9)) for _ in range(1_000)]
    slips = [f"{text[:place]}{text[place + 1 :]}" for place, text in enumerate(asked[:40])]
    slips += [f"{text[:place]}{text[place + 1 : 50]}{text[51:]}" for place, text in enumerate(asked[40:80])]
    path = stored(tmp_path, *pairs(*((text, "Well.") for text in (*asked, *slips))))
    all_pairs = find_in_file(path)

    monkeypatch.setattr("app.domain.findings.files.ALL_PAIRS_UP_TO", 0)
    neighbours = {finding.row for finding in find_in_file(path).of(K.NEAR_DUPLICATE)}

    assert [finding.row for finding in all_pairs.of(K.NEAR_DUPLICATE)] == list(range(1_001, 1_081))
    assert set(range(1_001, 1_041)) <= neighbours <= set(range(1_001, 1_081))
    assert len(neighbours) >= 76


# ── Whatever the rows ──────────────────────────────────────────────────────

letters = st.text(st.sampled_from("abcdefgh 天地人你我他，"), min_size=12, max_size=30).map(str.strip)
FAULTS = {
    K.EMPTY_ANSWER: lambda question, _: row((question, "")),
    K.EMPTY_QUESTION: lambda _, answer: row(("", answer)),
    K.ENCODING_DAMAGE: lambda question, answer: row((question, f"{answer}\x07")),
    K.NO_LOSS: lambda question, answer: row((question, answer, False)),
    K.ODD_TURNS: lambda question, answer: row((f"User: {question}", answer)),
    K.CONFLICT: lambda question, answer: row((f"{question}!", f"no {answer}")),
    K.DUPLICATE: lambda question, answer: row((question, answer)),
}
planted = st.lists(st.sampled_from(list(FAULTS)), max_size=12)


@given(
    texts=st.lists(letters, min_size=13, max_size=13, unique_by=str.casefold),
    faults=planted,
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_planted_fault_is_found_and_repaired(tmp_path: Path, texts: list[str], faults: list[K]) -> None:
    """Each is found with its row; repaired, nothing of its kind is left, and repairing again changes nothing."""
    asked = [(f"{number} {text}", f"{text} {number}") for number, text in enumerate(texts)]
    faulty = [FAULTS[kind](*asked[number]) for number, kind in enumerate(faults)]
    path = stored(tmp_path, *pairs(*asked), *faulty)

    findings = find_in_file(path)
    for target in (tmp_path / "repaired.jsonl", tmp_path / "again.jsonl"):
        target.unlink(missing_ok=True)
        target.with_suffix(".index").unlink(missing_ok=True)
    choice = Choice(list(FindingKind))
    repaired = apply_repairs(path, choice, tmp_path / "repaired.jsonl")
    again = apply_repairs(tmp_path / "repaired.jsonl", choice, tmp_path / "again.jsonl")

    for place, kind in enumerate(faults, len(asked) + 1):
        assert place in {finding.row for finding in findings.of(kind)}
    left = find_in_file(tmp_path / "repaired.jsonl").counts
    assert set(left) <= {K.DUPLICATE}, left
    assert repaired.rows >= len(asked)
    assert again.sha256 == repaired.sha256 or left
