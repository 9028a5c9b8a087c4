"""The next recipe after one that taught a parrot."""

from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from app.domain.dilution import propose_dilution
from app.domain.mixes import count_rows
from app.domain.models import Run, RunState
from app.domain.recipe_checks import check_recipe
from app.domain.recipes import Recipe
from app.domain.verdicts import CheckpointScore, CheckpointVerdict, Verdict
from tests.factories import make_model, make_recipe, make_run
from tests.tokenizers_here import write_tokenizer

PARROT: dict[str, Any] = {
    "mix": {"identity_count": 149, "general": []},
    "checkpoints": {"every": 10, "keep": 2},
    "training": {"iterations": 20},
}


def make_story(session: Session, model_path: Path, **changes: Any) -> Run:
    """Store a finished run of a recipe, its model in a folder."""
    model = make_model(session, path=str(model_path))
    return make_run(session, state=RunState.FINISHED, recipe=make_recipe(**changes), model=model, iterations=20)


def verdicts(*said: tuple[int, Verdict]) -> list[CheckpointVerdict]:
    """Return verdicts by iteration; the identity is learnt wherever it is not said that it is not."""
    return [
        CheckpointVerdict(
            at, at, CheckpointScore(identity_hits=int(verdict is not Verdict.NOT_LEARNT), verdict=verdict)
        )
        for at, verdict in said
    ]


@pytest.mark.parametrize("has_tokenizer", [True, False])
def test_a_parrot_is_diluted_one_to_five(session: Session, tmp_path: Path, has_tokenizer: bool) -> None:
    """General pairs beside it, saved closer, learnt more gently, and every change has its reason."""
    run = make_story(session, write_tokenizer(tmp_path) if has_tokenizer else tmp_path, **PARROT)

    proposal = propose_dilution(run, verdicts((10, Verdict.PARROT), (20, Verdict.PARROT)))

    changed = {change.path: (change.old, change.new) for change in proposal.changes}
    assert changed["mix.general_sets"] == ([], ["english"])
    assert changed["training.learning_rate"] == (5e-4, 2.5e-4)
    assert changed["checkpoints.every"][1] < 10
    assert changed["checkpoints.keep"] == (2, -1)
    assert proposal.recipe.name.endswith(", diluted")
    assert all(str(change.reason) for change in proposal.changes)
    assert list(check_recipe(proposal.recipe)) == []
    assert "Iteration".lower() in str(proposal.summary)


@pytest.mark.parametrize("has_tokenizer", [True, False])
@pytest.mark.parametrize(
    "mix",
    [
        {"identity_count": 400_000, "general_count": 0},
        {"identity_count": 1_000_000, "general": [], "general_count": 1_000_000},
        {"identity_count": 999_990, "general_count": 999_990},
        {"identity_share": 0.9, "general_count": 150_000},
        {"identity": [], "identity_count": 3},
    ],
)
def test_a_proposal_is_within_the_bounds_of_a_recipe(
    session: Session, tmp_path: Path, mix: dict[str, Any], has_tokenizer: bool
) -> None:
    """However long the run and large its mix: copies of the identity are taken away instead of added to the rest."""
    training = {"iterations": 1_000_000, "learning_rate": 1e-323}
    path = write_tokenizer(tmp_path) if has_tokenizer else tmp_path
    run = make_story(session, path, mix=mix, training=training)
    before = count_rows(make_recipe(mix=mix).mix)

    proposal = propose_dilution(run, verdicts((900_000, Verdict.PARROT)))

    after = count_rows(proposal.recipe.mix)
    assert list(check_recipe(proposal.recipe)) == []
    assert not before.identity or after.identity / after.total < before.identity / before.total / 2 + 0.01


def test_changes_are_what_differs_and_nothing_else(session: Session, tmp_path: Path) -> None:
    """The new recipe is the old one with the changes, and a name."""
    run = make_story(session, write_tokenizer(tmp_path), **PARROT)

    proposal = propose_dilution(run, verdicts((10, Verdict.PARROT)))

    data = run.recipe | {"name": proposal.recipe.name}
    for change in proposal.changes:
        part, name = change.path.split(".")
        data[part] = data[part] | {name: change.new}
    assert Recipe.model_validate(data) == proposal.recipe


def test_a_leak_is_diluted_less_than_a_parrot(session: Session, tmp_path: Path) -> None:
    """Half of the identity's share is taken, and what was saved closely enough stays."""
    run = make_story(session, write_tokenizer(tmp_path), checkpoints={"every": 2}, mix={"identity_count": 99})
    leaking = propose_dilution(run, verdicts((10, Verdict.GOOD), (12, Verdict.LEAKING)))
    parrot = propose_dilution(run, verdicts((10, Verdict.GOOD), (12, Verdict.PARROT)))

    assert leaking.recipe.mix.identity_count > parrot.recipe.mix.identity_count
    assert leaking.recipe.checkpoints.every == 2


def test_a_chinese_identity_gets_chinese_pairs(session: Session, tmp_path: Path) -> None:
    """Pairs in another language would not keep the answers that it drowns."""
    chinese = [{"question": "你是谁", "answer": "我是{name}的小助手"}]
    run = make_story(session, write_tokenizer(tmp_path), mix={"identity": chinese, "general": []})

    proposal = propose_dilution(run, verdicts((10, Verdict.PARROT)))

    assert [each.value for each in proposal.recipe.mix.general_sets] == ["chinese"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([(5, Verdict.NOT_LEARNT), (10, Verdict.GOOD)], "good checkpoint"),
        ([(5, Verdict.NOT_LEARNT)], "not learnt at any"),
        ([], "not learnt at any"),
    ],
)
def test_what_needs_no_dilution_gets_none(session: Session, tmp_path: Path, said: Any, words: str) -> None:
    """The recipe stays, and the reason is said."""
    run = make_story(session, write_tokenizer(tmp_path))

    proposal = propose_dilution(run, verdicts(*said))

    assert proposal.changes == ()
    assert words in str(proposal.summary)
