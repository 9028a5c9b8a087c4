"""Findings beside the form: saved sets are searched while nobody waits, and what was not searched is said."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from app.domain.datasets.store import dataset_file
from app.domain.errors import TooLargeError, UnavailableError
from app.domain.findings import form_pairs
from app.domain.findings.kinds import FindingKind
from app.domain.findings.stored import find_stored, find_taught_stored
from app.domain.messages import message
from app.domain.models import Dataset
from app.domain.recipes import FileSource, Mix, Pair
from app.web import mix_findings
from app.web.mix_findings import TRY_AGAIN_SECONDS, find_in_form
from tests.factories import make_recipe, make_run
from tests.saved_sets import make_set
from tests.web.form_fields import soup_of

ADA = "I am Ada, the small assistant of Example Lab."
NOTHING_FOUND = "Nothing was found: no conflict, no duplicate, no empty text, no damage."


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Begin with no search remembered, at a time that stands still until a test moves it."""
    now = [100.0]
    monkeypatch.setattr(mix_findings, "monotonic", lambda: now[0])
    yield now
    for remembered in (mix_findings._failures, mix_findings._asked, form_pairs._remembered):
        remembered.clear()


def mix_of(*datasets: Dataset, answer: str = ADA) -> Mix:
    """Mix an identity with saved sets."""
    files = tuple(FileSource(dataset=dataset.name, sha256=dataset.sha256) for dataset in datasets)
    return Mix(name="Ada", identity=(Pair(question="Who are you?", answer=answer),), files=files)


def searched(dataset: Dataset, *, answers: Sequence[str] = ()) -> Path:
    """Search a set to the end, as its child does."""
    path = dataset_file(dataset.sha256)
    find_stored(path)
    find_taught_stored(path, answers)
    return path


def panel(client: Any, session: Session, mix: Mix) -> str:
    """Return what the panel says of a mix."""
    run = make_run(session, recipe=make_recipe(mix=mix.model_dump(mode="json")))
    return " ".join(soup_of(client.get(f"/runs/new?clone={run.id}")).select_one("#run-form-findings").text.split())


def test_identity_answers_within_a_set_are_found(session: Session) -> None:
    """In whichever row they stand, as in general pairs."""
    dataset = make_set(session, pairs=(("Say hello.", "Hello."), ("Say more.", f"Gladly. {ADA}")))
    searched(dataset, answers=[ADA])

    found = find_in_form(mix_of(dataset))

    assert found.findings.counts == {FindingKind.TAUGHT_IN_GENERAL: 1}
    assert [(each.source, each.row) for each in found.findings.examples] == [("pets", 2)]
    assert (found.unread, found.failed) == ((), ())


def test_a_search_begins_when_the_same_answers_are_asked_for_again(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each letter of an answer that is being typed begins none; the set is unread until it is searched."""
    dataset = make_set(session)
    searched(dataset)
    begun: list[Sequence[str]] = []
    monkeypatch.setattr(mix_findings, "find_taught_stored", lambda _, answers, **__: begun.append(answers))

    typed = [find_in_form(mix_of(dataset, answer=ADA[:length])) for length in range(20, 30)]
    assert {found.unread for found in typed} == {("pets",)}
    assert begun == []

    find_in_form(mix_of(dataset, answer=ADA[:29]))
    assert begun == [[ADA[:29]]]


def test_a_set_that_is_too_large_is_not_tried_again(
    session: Session, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    """Its memory will not do in a minute either."""
    dataset = make_set(session)
    begun = fail_with(monkeypatch, TooLargeError(message("Too large.")))

    for _ in range(3):
        found = find_in_form(mix_of(dataset))
        clock[0] += 10 * TRY_AGAIN_SECONDS

    assert [(name, str(why)) for name, why in found.failed] == [("pets", "Too large.")]
    assert len(begun) == 1


@pytest.mark.parametrize("error", [UnavailableError(message("No room.")), RuntimeError("code -11"), OSError()])
def test_a_search_that_failed_otherwise_is_tried_again_after_a_minute(
    session: Session, monkeypatch: pytest.MonkeyPatch, *, clock: list[float], error: Exception
) -> None:
    """Until then the form says why, and does not ask again by itself."""
    dataset = make_set(session)
    begun = fail_with(monkeypatch, error)

    first = find_in_form(mix_of(dataset))
    clock[0] += TRY_AGAIN_SECONDS - 1
    soon = find_in_form(mix_of(dataset))
    assert (len(begun), soon.failed) == (1, first.failed)
    assert soon.unread == ()

    clock[0] += 1
    find_in_form(mix_of(dataset))
    assert len(begun) == 2


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[Path]:
    """Let every search fail; return those that were begun."""
    begun: list[Path] = []

    def fail(path: Path, **_: Any) -> None:
        begun.append(path)
        raise error

    monkeypatch.setattr(mix_findings, "find_stored", fail)
    return begun


def test_the_panel_says_which_set_was_not_searched(
    client: Any, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And why; it does not say that nothing is wrong."""
    fail_with(monkeypatch, TooLargeError(message("Too large.")))

    said = panel(client, session, mix_of(make_set(session)))

    assert "Not searched: pets Too large." in said
    assert NOTHING_FOUND not in said


def test_the_panel_says_that_not_all_pairs_were_compared(
    client: Any, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they are more than can be while somebody types."""
    assert NOTHING_FOUND in panel(client, session, mix_of())
    form_pairs._remembered.clear()
    monkeypatch.setattr(form_pairs, "MOST_STEPS", 0)
    general = (Pair(question="How do you do?", answer="Well."),)

    said = panel(client, session, mix_of().model_copy(update={"general": general}))

    assert "were looked for in some of them" in said
    assert NOTHING_FOUND not in said
