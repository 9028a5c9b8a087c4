"""Long pairs of a form: so much work and no more, counted in characters, and none of it twice."""

import random
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz import process

from app.domain.findings import form_pairs, taught_runs
from app.domain.findings.kinds import FindingKind
from app.domain.findings.mixes import find_in_mix
from app.domain.findings.taught_runs import TaughtRuns, squeezed
from app.domain.recipes import Pair

K = FindingKind
LETTERS = "abcdefgh "


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Begin with nothing remembered, and leave nothing."""
    form_pairs._remembered.clear()
    yield
    form_pairs._remembered.clear()


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the product of the lengths of each two texts that are compared."""
    noted: list[int] = []
    compare = process.cpdist

    def count(texts: list[str], others: list[str], **options: Any) -> Any:
        noted.extend(len(one) * len(other) for one, other in zip(texts, others, strict=True))
        return compare(texts, others, **options)

    monkeypatch.setattr(process, "cpdist", count)
    return noted


def alike(length: int, count: int) -> list[str]:
    """Make texts of which each two are nearly the same."""
    drawn = random.Random(1)  # noqa: S311 - texts of a test
    base = drawn.choices(LETTERS, k=length)
    texts = []
    for _ in range(count):
        changed = base.copy()
        for place in drawn.sample(range(length), length // 60):
            changed[place] = drawn.choice(LETTERS)
        texts.append("".join(changed))
    return texts


def test_long_questions_that_are_alike_are_compared_as_far_as_work_goes(compared: list[int]) -> None:
    """The findings say that not all were; some were found all the same."""
    pairs = [Pair(question=text, answer="fine") for text in alike(7_900, 60)]

    found = find_in_mix(identity=pairs)

    assert found.is_partial
    assert sum(compared) // 64 <= form_pairs.MOST_STEPS < 60 * 59 // 2 * 7_900**2 // 64
    assert found.counts[K.NEAR_DUPLICATE] > 0


def test_short_questions_that_are_alike_are_all_compared(compared: list[int]) -> None:
    """Two hundred of them, each against each."""
    texts = alike(120, 200)

    found = find_in_mix(identity=[Pair(question=text, answer="fine") for text in texts])

    assert (found.is_partial, found.counts[K.NEAR_DUPLICATE]) == (False, 199)
    assert len(compared) > 10_000


def test_pairs_that_did_not_change_are_not_searched_again(compared: list[int]) -> None:
    """A form is asked at each key press, wherever that is; another system text makes other pairs."""
    pairs = [Pair(question=text, answer="fine") for text in alike(120, 5)]

    first, work = find_in_mix(identity=pairs), len(compared)
    again, work_again = find_in_mix(identity=list(pairs)), len(compared)
    find_in_mix(identity=pairs, system="Be brief.")

    assert (again, work_again) == (first, work)
    assert len(compared) == 2 * work


def test_no_more_forms_are_remembered_than_so_many() -> None:
    """The oldest goes."""
    for number in range(form_pairs.FORMS_REMEMBERED + 3):
        find_in_mix(identity=[Pair(question=f"q{number}", answer="a")])

    assert len(form_pairs._remembered) == form_pairs.FORMS_REMEMBERED


def test_where_a_pair_ends_is_part_of_it() -> None:
    """What moves from a question to its answer, or to the other list, is another form."""
    empty = Pair.model_construct(question="ab", answer="")
    forms = [([Pair(question="a", answer="b")], []), ([empty], []), ([], [Pair(question="a", answer="b")])]

    assert len({form_pairs._digest(identity, general, "") for identity, general in forms}) == len(forms)


def test_long_answers_are_searched_as_far_as_work_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is said where they were not."""
    texts = alike(700, 4)
    identity = [Pair(question=f"q{number}", answer=text) for number, text in enumerate(texts)]
    general = [Pair(question=f"g{number}", answer=f"Well, {text}") for number, text in enumerate(texts)]

    whole = find_in_mix(identity=identity, general=general)
    form_pairs._remembered.clear()
    monkeypatch.setattr(form_pairs, "MOST_STEPS", 150_000)
    part = find_in_mix(identity=identity, general=general)

    assert (whole.is_partial, whole.counts[K.TAUGHT_IN_GENERAL]) == (False, 4)
    assert part.is_partial
    assert 0 < part.counts[K.TAUGHT_IN_GENERAL] < 4


@given(st.text("abc", min_size=15, max_size=60), st.text("abc", max_size=90))
def test_the_longest_run_is_that_of_difflib(taught: str, said: str) -> None:
    """Found around pieces, without looking at each character of the one against each of the other."""
    match = SequenceMatcher(None, squeezed(said), squeezed(taught), autojunk=False).find_longest_match()
    least = max(15, round(len(taught) * 0.5))

    assert len(TaughtRuns([taught]).run_in(said)) == (match.size if match.size >= least else 0)


def test_a_text_that_repeats_itself_is_no_way_round_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each place at which a piece stands costs something too."""
    noted: list[int] = []
    around = taught_runs._run_around

    def note(said: str, *rest: Any) -> str:
        noted.append(len(said))
        return around(said, *rest)

    monkeypatch.setattr(taught_runs, "_run_around", note)
    same = [Pair(question=f"q{number}", answer="x" * (5_000 + number)) for number in range(12)]

    found = find_in_mix(identity=same, general=same)

    assert found.is_partial
    assert sum(noted) * 3 < form_pairs.MOST_STEPS


def test_a_long_run_is_found_in_a_long_answer() -> None:
    """However often it comes, and whatever stands around it."""
    taught, run = "x" * 7_000, "x" * 5_000

    assert TaughtRuns([taught]).run_in(f"well {run} and {run}!") == run
