"""The child: searched once for each content, under limits, knowing nothing that is secret."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.domain.errors import TooLargeError
from app.domain.findings import kinds, stored
from app.domain.findings.choices import Choice
from app.domain.findings.index import index_path
from app.domain.findings.kinds import FindingKind
from tests.conftest import forget_settings
from tests.domain.findings.rows import CLEAN, pairs
from tests.domain.findings.rows import stored as write

K = FindingKind


@pytest.fixture
def path(home: Path) -> Path:
    """Store a few rows, one of them empty."""
    return write(home, *pairs(*CLEAN, ("Empty, is it?", "")))


def test_a_file_is_searched_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the child found lies beside the rows, and no child is started again."""
    first = stored.find_stored(path, source="a name")

    monkeypatch.setattr(stored, "run_child", None)
    second = stored.find_stored(path, source="another name")

    assert first.counts == second.counts == {K.EMPTY_ANSWER: 1}
    assert [findings.examples[0].source for findings in (first, second)] == ["a name", "another name"]
    assert index_path(path).exists()
    assert not list(path.parent.glob("*.part"))


@pytest.mark.parametrize("content", ["", "{", '{"rules": 0}'])
def test_findings_that_cannot_be_read_are_made_anew(path: Path, content: str) -> None:
    """A crash leaves half a file, and a newer release has other rules."""
    stored.findings_path(path).write_text(content, "utf-8")

    assert stored.known_findings(path) is None
    assert stored.find_stored(path).counts == {K.EMPTY_ANSWER: 1}
    assert json.loads(stored.findings_path(path).read_bytes())["rules"] == kinds.RULES


def test_who_does_not_wait_may_ask_again(path: Path) -> None:
    """The search goes on, and the next one who asks gets what it found."""
    assert stored.find_stored(path, wait_seconds=0) is None
    assert stored.find_stored(path, wait_seconds=60).counts == {K.EMPTY_ANSWER: 1}


def test_what_identity_teaches_is_looked_for_in_files(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for the same answers in any order, and anew for others."""
    answers = ["The tallest is Mount Everest, I think.", "十二个月零一天就是答案。"]
    rows = pairs(("Which one?", "The tallest is Mount Everest."), ("哪个？", "十二个月零一天。"))
    write(path.parent, *rows)

    found = stored.find_taught_stored(path, answers, source="set")
    other = stored.find_taught_stored(path, answers[1:], source="set")
    monkeypatch.setattr(stored, "run_child", None)
    again = stored.find_taught_stored(path, [answers[1], answers[1]], source="set")

    assert [(each.source, each.row) for each in found.examples] == [("set", 1), ("set", 2)]
    assert [each.row for each in other.examples] == [2]
    assert again == other
    assert stored.find_taught_stored(path, []).total == 0


def test_the_child_knows_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment names programs and languages, and nothing of Temper's own."""
    monkeypatch.setenv("TEMPER_DATABASE_URL", "postgresql://user:secret@host/db")

    environment = stored._environment()

    assert not [name for name in environment if name.startswith("TEMPER_")]
    assert "secret" not in "".join(environment.values())


def test_a_file_that_needs_too_much_memory_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what an admin may change; who asks again begins anew."""
    line = path.read_bytes().splitlines(keepends=True)[0]
    path.write_bytes(line * 400_000)
    monkeypatch.setenv("TEMPER_FINDINGS_MEMORY_BYTES", str(256 << 20))
    forget_settings()

    with pytest.raises(TooLargeError, match="256 MiB of memory; an admin may raise TEMPER_FINDINGS_MEMORY_BYTES"):
        stored.find_stored(path, wait_seconds=60)

    assert stored.findings_path(path) not in stored._searches


def test_a_repair_is_made_in_the_child_too(path: Path) -> None:
    """Kinds, rows and what is dropped reach it."""
    choice = Choice([K.EMPTY_ANSWER], rows={6}, drop={1})

    repaired = stored.repair_stored(path, choice, path.with_name("repaired.jsonl"))

    assert (repaired.rows, repaired.dropped) == (len(CLEAN) - 1, 2)


def test_few_requests_wait_for_a_search() -> None:
    """All others are answered at once, so that the server has threads left; who is done makes place."""
    with ExitStack() as waiting:
        seconds = [waiting.enter_context(stored._place_to_wait(1.0)) for _ in range(stored.WAITING_AT_ONCE + 2)]

    with stored._place_to_wait(1.0) as later, stored._place_to_wait(0) as never:
        assert (later, never) == (1.0, 0)
    assert seconds == [1.0] * stored.WAITING_AT_ONCE + [0, 0]
