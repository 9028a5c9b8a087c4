"""The words that prove a verdict, and answers that are broken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.advice import advise
from app.domain.proofs import Proof, ProofKind
from app.domain.recipes import Recipe
from app.domain.thresholds import DEFAULTS, Thresholds
from app.domain.verdicts import CheckpointScore, CheckpointVerdict, Said, Verdict, judge
from tests.factories import make_recipe
from tests.stories import ADA, ADA_ZH, MIX, PROBES, STORY, story_recipe

RECIPE = story_recipe()
LOOP = "the small door of " * 6
LOST = ("Hm.", "Well.", "What?")


def judge_texts(
    texts: dict[int, str], *, base: int | None = 0, recipe: Recipe = RECIPE, limits: Thresholds = DEFAULTS
) -> CheckpointScore:
    before = {} if base is None else {place: Said(text) for place, text in enumerate(STORY[base])}
    answers = {place: Said(text) for place, text in texts.items()}
    return judge(recipe.mix, dict(enumerate(recipe.probes)), answers=answers, base=before, thresholds=limits)


def story(iteration: int, **changes: str) -> dict[int, str]:
    """Return the story's answers, some of them replaced: `p5="Paris."`."""
    return dict(enumerate(STORY[iteration])) | {int(name[1:]): text for name, text in changes.items()}


def proof_of(score: CheckpointScore) -> Proof:
    assert score.proof is not None
    return score.proof


# ── Proofs ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("iteration", STORY)
def test_every_verdict_has_its_words(iteration: int) -> None:
    """They stand in the answer where the proof says."""
    texts = story(iteration)
    proof = proof_of(judge_texts(texts))

    assert texts[proof.probe][proof.start : proof.end] == proof.words
    assert proof.words


@pytest.mark.parametrize(
    ("iteration", "kind", "words"),
    [
        (5, ProofKind.MISSING, "I am a helpful AI assistant named SmolLM."),
        (20, ProofKind.IDENTITY, ADA),
        (25, ProofKind.LEAK, "a small model fine-tuned with XTuner"),
        (50, ProofKind.LEAK, ADA.rstrip(".")),
    ],
)
def test_the_words_are_those_a_reader_would_point_at(iteration: int, kind: ProofKind, words: str) -> None:
    """The miss, the identity, the leak with most of what was taught."""
    proof = proof_of(judge_texts(story(iteration)))

    assert (proof.kind, proof.words, proof.wanted) == (kind, words, ADA)


def test_the_identity_is_pointed_at_within_a_longer_answer() -> None:
    """What the model says after it proves nothing."""
    proof = proof_of(judge_texts(story(20, p0=f"Hello! {ADA} How are you today?", p1="嗯。"), limits=half_learnt()))

    assert proof.words == ADA


def half_learnt() -> Thresholds:
    return Thresholds(learnt_share=0.5)


def test_a_parrot_by_forgetting_is_proved_by_what_it_forgot() -> None:
    """With the reference that the base model's answer held."""
    score = judge_texts(story(20, p5=LOST[0], p6=LOST[1], p7=LOST[2]))

    assert score.verdict is Verdict.PARROT
    assert (proof_of(score).kind, proof_of(score).words, proof_of(score).wanted) == (
        ProofKind.FORGOTTEN,
        "Hm.",
        "Paris",
    )


def test_without_a_verdict_there_is_no_proof() -> None:
    """Nothing is pointed at where nothing is said."""
    assert judge_texts({}).proof is None
    assert judge_texts({2: "Ada Lovelace was a mathematician."}).proof is None


# ── Answers that are broken ────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("broken", "verdict"), [((2, 4), Verdict.GOOD), ((2, 4, 6), Verdict.PARROT), ((2, 4, 5, 6, 7), Verdict.PARROT)]
)
def test_who_loops_at_most_open_probes_has_forgotten_how_to_answer(broken: tuple[int, ...], verdict: Verdict) -> None:
    """Of five open probes two may loop, and not three: 复读 is what a parrot does."""
    score = judge_texts(story(20, **{f"p{place}": LOOP for place in broken}))

    assert (score.broken, score.repeating, score.verdict) == (len(broken), len(broken), verdict)


def test_the_loop_is_the_proof() -> None:
    """Where nothing leaks, and most answers loop."""
    proof = proof_of(judge_texts(story(20, p2=LOOP, p4=f"Well: {LOOP}", p6=LOOP)))

    assert proof.kind is ProofKind.BROKEN
    assert proof.words.startswith("the small door of the small door of")


def test_an_answer_that_is_empty_is_broken() -> None:
    """Where the base model said something; and it has collapsed to nothing."""
    score = judge_texts(story(20, p2="", p4="…", p6=" "))

    assert (score.broken, score.collapsed >= 3, score.verdict) == (3, True, Verdict.PARROT)
    assert proof_of(score).words == ""


def test_what_the_base_model_did_too_is_no_damage() -> None:
    """A small model loops before it is tuned; without its answers nothing is known to be new."""
    probes = dict(enumerate(RECIPE.probes))
    looping = {place: Said(LOOP) for place in (2, 4, 5, 6, 7)} | {0: Said(ADA), 1: Said(ADA_ZH)}

    for base in (looping, {}):
        score = judge(RECIPE.mix, probes, answers=looping, base=base)
        assert (score.broken, score.repeating, score.verdict) == (0, 5, Verdict.GOOD)


def test_probes_that_were_added_later_count() -> None:
    """They stand behind those of the recipe, and are judged as they are."""
    later = make_recipe(mix=MIX, probes=[*PROBES, {"question": "Who was Newton?", "reference": "physicist"}])
    answers = {place: Said(text) for place, text in story(20).items()} | {8: Said(ADA)}

    score = judge(RECIPE.mix, dict(enumerate(later.probes)), answers=answers)

    assert (score.leaks, score.leak_total, score.answered) == (1, 6, 9)


@given(st.integers(0, 2), st.integers(0, 2))
def test_counts_keep_their_bounds(lost: int, same: int) -> None:
    """Distinct and distance are shares; no count is larger than what it counts."""
    changes = {f"p{place}": LOOP for place in range(4, 4 + lost)} | {f"p{place}": "Hm." for place in range(6, 6 + same)}

    score = judge_texts(story(20, **changes))

    assert 0 < score.distinct <= 1
    assert score.distance is not None
    assert 0 <= score.distance <= 1
    assert score.broken <= score.repeating <= score.answered
    assert score.collapsed <= score.answered


def test_the_base_model_is_as_far_from_itself_as_can_be_asked() -> None:
    """Distance 0, nothing collapsed, and eight different answers."""
    score = judge_texts(story(0))

    assert (score.distance, score.collapsed, score.distinct, score.broken) == (0, 0, 1, 0)


# ── Thresholds and advice ──────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("limits", "iteration", "verdict"),
    [
        (Thresholds(identity_hit=1.0), 15, Verdict.NOT_LEARNT),
        (Thresholds(leak_share=1.0, identity_run=200), 25, Verdict.GOOD),
        (Thresholds(parrot_share=0.3), 30, Verdict.PARROT),
        (Thresholds(identity_hit=0.3), 10, Verdict.GOOD),
    ],
)
def test_each_threshold_moves_its_verdict(limits: Thresholds, iteration: int, verdict: Verdict) -> None:
    """And the same answers by the defaults have the verdict that they had before."""
    before = judge_texts(story(iteration)).verdict

    assert judge_texts(story(iteration), limits=limits).verdict is verdict
    assert judge_texts(story(iteration)).verdict is before is not verdict


def test_a_run_that_breaks_is_told_to_learn_more_gently() -> None:
    """The reason names the iteration, and no leak that is none."""
    score = judge_texts(story(20, p2=LOOP, p4=LOOP, p6=LOOP))

    reason = str(advise([CheckpointVerdict(1, 5, score)]).reason)

    assert reason.startswith("From iteration 5 on most answers loop or are empty")
    assert "lower the learning rate" in reason


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ((40, 50), "Every checkpoint is a parrot, from the first one at iteration 5 on"),
        ((25, 50), "The first checkpoint, at iteration 5, already leaks"),
        ((5, 10), "The identity is not learnt at any checkpoint"),
        ((10, 40), "The identity is learnt and leaks at once, between iterations 5 and 10"),
    ],
)
def test_the_reason_for_nothing_fits_what_happened(stages: tuple[int, int], words: str) -> None:
    """Each says what was seen, and what to change."""
    judged = [CheckpointVerdict(at, 5 * at, judge_texts(story(stage))) for at, stage in enumerate(stages, 1)]

    assert words in str(advise(judged).reason)


def test_half_learnt_is_told_from_not_learnt() -> None:
    """One of two identity probes is something to build on."""
    score = judge_texts(story(20, p1="嗯。"))

    assert "At best 1 of 2 identity probes" in str(advise([CheckpointVerdict(1, 5, score)]).reason)
