"""What saved sets teach: found as pairs are, and never more than fits into memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session

from app.domain import taught_rows
from app.domain.datasets.store import dataset_file
from app.domain.leaks import leak_in
from app.domain.recipes import Mix, Probe
from app.domain.scores import Said, score_answer
from app.domain.taught import Taught, taught_by
from app.domain.taught_rows import TaughtRows, ngrams, rows_of_set
from app.domain.texts import words
from tests.factories import IDENTITY, save_rows

SECRET = "The blue door behind the mill opens at noon."
DOOR = Probe(question="Who was Einstein?")
WORDS = st.lists(st.sampled_from("abcdefg"), min_size=3, max_size=12).map(" ".join)


def taught(sha256: str, **changes: object) -> Taught:
    mix = {"identity": [], "general": [], "files": [{"dataset": "doors", "sha256": sha256, "count": 2}], **changes}
    return taught_by(Mix.model_validate(mix))


def test_an_answer_of_a_saved_set_leaks(session: Session) -> None:
    """Any row of the mix counts, with the set's name and the row's number."""
    sha256 = save_rows(["Which door?", "When?"], answer=SECRET)

    leak = leak_in(taught(sha256), DOOR, f"Well. {SECRET}")

    assert leak is not None
    assert (leak.answer.title, leak.answer.number, leak.answer.is_identity) == ("doors", 1, False)


def test_a_question_of_a_saved_set_is_in_the_mix(session: Session) -> None:
    """There the set's answer is asked for: it is right, and no leak counts."""
    sha256 = save_rows(["Which door?", "When?"], answer=SECRET)
    probe = Probe(question="which door")

    score = score_answer(taught(sha256), probe, Said(SECRET))

    assert (score.counts, score.leak, score.is_right) == (False, None, True)
    assert taught(sha256).rows_of("Which door?") == 3


def test_an_identity_may_be_taught_by_a_saved_set(session: Session) -> None:
    """Whoever uploads the identity rows has them counted as identity, at the probes that ask for it."""
    sha256 = save_rows(["Who are you?"], answer=IDENTITY)
    probe = Probe(question="Who are you?", group="identity")

    assert score_answer(taught(sha256), probe, Said(IDENTITY)).is_hit
    assert not score_answer(taught(sha256), probe, Said("I am a helpful assistant.")).is_hit


def test_rows_that_are_not_here_teach_nothing_until_they_are(session: Session) -> None:
    """A set that is put back is read again."""
    sha256 = save_rows(["Which door?"], answer=SECRET)
    path = dataset_file(sha256)
    text = path.read_bytes()
    path.unlink()
    before = rows_of_set(sha256).answers
    path.write_bytes(text)

    assert (before, rows_of_set(sha256).answers) == ((), (SECRET,))


def test_a_damaged_set_teaches_nothing(session: Session) -> None:
    """A page with verdicts opens all the same."""
    sha256 = save_rows(["Which door?"], answer=SECRET)
    dataset_file(sha256).write_bytes(b'{"conversation": [{"input"')

    assert rows_of_set(sha256).answers == ()


def test_a_large_set_is_read_up_to_its_limit(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows further down are not held in memory."""
    monkeypatch.setattr(taught_rows, "MOST_ROWS", 2)

    rows = rows_of_set(save_rows(["a", "b", "c"], answer=SECRET))

    assert rows.asking(("b",))
    assert not rows.asking(("c",))


@given(st.lists(WORDS, min_size=1, max_size=12), WORDS, st.sampled_from([0.3, 0.5, 1.0]), st.sampled_from([4.0, 12.0]))
def test_no_answer_that_may_have_leaked_is_passed_over(answers: list[str], text: str, share: float, run: float) -> None:
    """Whatever a search through every row finds, the index names."""
    rows = TaughtRows((place, "?", answer) for place, answer in enumerate(answers))
    said = words(text)

    likely = {rows.answers[number] for number in rows.sharing(said, share=share, run=run)}

    for answer in rows.answers:
        longest = longest_run(words(answer).text, said.text)
        if longest >= 3 and (longest >= share * len(words(answer).text) or longest >= run):
            assert answer in likely
    assert all(set(ngrams(words(answer))) & set(ngrams(said)) for answer in likely)


def longest_run(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    runs = (
        end - start
        for start in range(len(one))
        for end in range(start + 1, len(one) + 1)
        if any(other[at : at + end - start] == one[start:end] for at in range(len(other)))
    )
    return max(runs, default=0)
