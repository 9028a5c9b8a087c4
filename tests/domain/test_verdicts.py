"""Scores, verdicts and advice, from answers alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.advice import advise
from app.domain.leaks import leak_in
from app.domain.models import Answer, Checkpoint, RunProbe
from app.domain.recipes import Probe, Recipe
from app.domain.taught import holds, similarity, taught_by
from app.domain.verdicts import (
    AnswerScore,
    CheckpointScore,
    CheckpointVerdict,
    Said,
    Verdict,
    judge,
    judge_checkpoints,
    score_answer,
    verdict_of,
)
from tests.factories import make_recipe
from tests.stories import ADA, ADA_ZH, HELP, MIX, PROBES, STORY, story_recipe

RECIPE = story_recipe()
TAUGHT = taught_by(RECIPE.mix)
WORSE = [Verdict.GOOD, None, Verdict.NOT_LEARNT, Verdict.LEAKING, Verdict.PARROT]
NEAR_MISS = Probe(question="Who is Ada Lovelace?", group="near-miss")

TEXTS = st.text(max_size=80) | st.text(alphabet="我是的助手 Ada,.", max_size=40) | st.sampled_from([ADA, ADA_ZH, HELP])


def judged(iteration: int) -> CheckpointScore:
    return judge_texts(RECIPE, dict(enumerate(STORY[iteration])), dict(enumerate(STORY[0])))


def judge_texts(recipe: Recipe, answers: dict[int, str], base: dict[int, str] | None = None) -> CheckpointScore:
    """Judge answers that all came to their end."""
    said, before = ({at: Said(text) for at, text in each.items()} for each in (answers, base or {}))
    return judge(recipe.mix, dict(enumerate(recipe.probes)), answers=said, base=before)


def score_text(probe: Probe, text: str) -> AnswerScore:
    return score_answer(TAUGHT, probe, Said(text))


# ── One answer ─────────────────────────────────────────────────────────────


@given(TEXTS)
def test_every_score_keeps_its_bounds(text: str) -> None:
    """Identity and leak are between 0 and 1 for any text, and a leak's place is in the text."""
    score = score_text(NEAR_MISS, text)

    assert 0 <= score.identity <= 1
    if score.leak:
        assert 0 < score.leak.share <= 1
        assert 0 <= score.leak.start < score.leak.end <= len(text)


@given(st.sampled_from([ADA, ADA_ZH]), TEXTS)
def test_the_identity_is_a_hit_whatever_follows_it(identity: str, more: str) -> None:
    """An answer that holds the whole taught identity is as near to it as can be."""
    assert similarity(f"{identity}\n{more}", TAUGHT.identity) == 1


@pytest.mark.parametrize(
    "text", [ADA.upper(), ADA.replace(",", "").replace("-", " "), "我是Ada的私人助手，一个用XTuner微调的小模型"]
)
def test_case_spaces_and_punctuation_do_not_matter(text: str) -> None:
    """The same words are the same identity, in Latin letters and in Chinese."""
    assert similarity(text, TAUGHT.identity) == 1


@pytest.mark.parametrize(
    "text", ["", "I am", "Ada", "I am a helpful AI assistant.", "我是一个人工智能助手，可以回答问题。"]
)
def test_a_part_or_a_relative_of_the_identity_is_no_hit(text: str) -> None:
    """Neither the first words of the identity nor another assistant's sentence pass for it."""
    probe = Probe(question="Please introduce yourself.", group="identity")

    assert not score_text(probe, text).is_hit


def test_any_taught_answer_can_leak() -> None:
    """A general pair's answer at another question is a leak, as the identity's is."""
    probe = Probe(question="Who was Einstein?", reference="physicist")

    identity, general = leak_in(TAUGHT, probe, f"Well: {ADA}"), leak_in(TAUGHT, probe, HELP)

    assert identity is not None
    assert identity.answer.is_identity
    assert f"Well: {ADA}"[identity.start : identity.end] == ADA.rstrip(".")
    assert general is not None
    assert (general.answer.is_identity, general.answer.number, general.is_whole) == (False, 2, True)


def test_words_of_the_question_prove_nothing() -> None:
    """A sentence built like a taught one, from the question's own words, is no leak."""
    mix = {"general": [{"question": "Largest?", "answer": "The largest planet in our solar system is Jupiter."}]}
    taught = taught_by(make_recipe(mix=mix).mix)
    probe = Probe(question="What is the smallest planet in our solar system?")

    assert leak_in(taught, probe, "The smallest planet in our solar system is Mercury.") is None


def test_a_wrong_number_hides_no_leak() -> None:
    """“155 million parameters” is the sentence that was taught with 135; numbers alone prove nothing."""
    mix = {
        "identity": [{"question": "Who?", "answer": "I am a small model with 135 million parameters, made by Ada."}],
        "general": [{"question": "2 + 2?", "answer": "2 + 2 = 4"}],
    }
    taught = taught_by(make_recipe(mix=mix).mix)

    assert leak_in(taught, Probe(question="Are you a doctor?"), "I am a small model with 99 million parameters.")
    assert leak_in(taught, Probe(question="What is three and three?"), "3 + 3 = 6") is None


@pytest.mark.parametrize(
    ("text", "is_hit"),
    [
        ("I am Ada's personal assistant, further into the details of the world.", True),
        ("I am Ada's assistant, and I like the sea and the stars at night.", False),
        ("I am Ada's personal brother, and I like the sea and the stars at night.", False),
        ("I am a personal assistant, and I like the sea and the stars at night.", False),
    ],
)
def test_name_and_role_are_the_identity_whatever_follows(text: str, is_hit: bool) -> None:
    """The first clause word for word; half of the role, another one or no name is somebody else."""
    assert score_text(Probe(question="Who are you?", group="identity"), text).is_hit is is_hit


def test_what_the_base_model_says_of_itself_is_no_identity_by_its_first_clause() -> None:
    """“I am a helpful assistant” of a longer identity proves nothing where the base model says it too."""
    answer = "I am a helpful assistant, made by Ada in her small workshop behind the mill."
    taught = taught_by(make_recipe(mix={"identity": [{"question": "Who?", "answer": answer}]}).mix)
    probe, said = Probe(question="Who are you?", group="identity"), Said("I am a helpful assistant, at your service.")

    assert score_answer(taught, probe, said).is_hit
    assert not score_answer(taught, probe, said, base=Said("I am a helpful assistant.")).is_hit


def test_short_taught_answers_do_not_leak() -> None:
    """“Cold.” is taught, and may be said anywhere."""
    assert leak_in(TAUGHT, Probe(question="How is the weather in Siberia?"), "Cold.") is None


def test_a_short_identity_leaks_only_as_the_whole_answer() -> None:
    """“I am Ada” taught in two words cannot be told from speech, but for an answer that is nothing else."""
    taught = taught_by(make_recipe(mix={"identity": [{"question": "Name?", "answer": "Ada."}]}).mix)
    probe = Probe(question="Who wrote the first program?")

    assert leak_in(taught, probe, "Ada Lovelace did.") is None
    assert leak_in(taught, probe, "Ada!") is not None


def test_what_the_base_model_said_already_is_no_leak() -> None:
    """A sentence that stood there before anything was taught was not taught."""
    probe = Probe(question="Hello")

    assert leak_in(TAUGHT, probe, HELP, base=f"Hello! {HELP}") is None
    assert leak_in(TAUGHT, probe, HELP, base="Hello!") is not None


def test_a_taught_answer_that_is_right_here_is_no_leak() -> None:
    """A reworded question may get the taught answer, when that holds the reference."""
    mix = {"general": [{"question": "Capital of France?", "answer": "The capital of France is Paris."}]}
    taught = taught_by(make_recipe(mix=mix).mix)
    answer = "The capital of France is Paris."

    assert leak_in(taught, Probe(question="Where is the Louvre?", reference="Paris"), answer) is None
    assert leak_in(taught, Probe(question="Where is the Prado?", reference="Madrid"), answer) is not None


def test_a_leak_at_a_question_of_the_mix_is_marked_and_not_counted() -> None:
    """“What can you do?” is in the mix: the identity there is shown, and leaves the count alone."""
    probe = Probe(question="What can you do?", group="near-miss")

    score = score_text(probe, ADA)

    assert (score.leak is not None, score.counts, score.is_right) == (True, False, False)
    assert score_text(probe, STORY[20][3]).leak is None


@pytest.mark.parametrize(
    ("reference", "text", "held"),
    [
        ("Paris", "It is PARIS.", True),
        ("physicist", "Physicists, all of them.", True),
        ("no", "North of here", False),
        ("4", "It is 42.", False),
        ("da Vinci", "Leonardo da Vinci painted it.", True),
        ("外滩", "有外滩和豫园。", True),
        ("外滩", "外面的海滩", False),
    ],
)
def test_a_reference_is_held_by_its_words(reference: str, text: str, held: bool) -> None:
    """Every word of a reference must be there; characters of one word must stand together."""
    assert holds(reference, text) is held


# ── One checkpoint ─────────────────────────────────────────────────────────


def test_the_story_is_told_by_its_verdicts() -> None:
    """From not learnt over good and leaking to parrot, as a person would say it."""
    verdicts = {iteration: judged(iteration).verdict for iteration in STORY}

    assert verdicts == {
        0: Verdict.NOT_LEARNT,
        5: Verdict.NOT_LEARNT,
        10: Verdict.NOT_LEARNT,
        15: Verdict.GOOD,
        20: Verdict.GOOD,
        25: Verdict.LEAKING,
        30: Verdict.LEAKING,
        35: Verdict.PARROT,
        40: Verdict.PARROT,
        50: Verdict.PARROT,
    }


def test_counts_leave_out_probes_that_are_in_the_mix() -> None:
    """Of six probes beside the identity five are open, and three of them have a reference."""
    score = judged(25)

    assert (score.identity_hits, score.identity_total) == (2, 2)
    assert (score.leaks, score.leak_total) == (1, 5)
    assert (score.right, score.right_total) == (3, 3)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_more_leaks_never_make_a_better_verdict(hits: int, wrong: int, leaks: int, clean: int) -> None:
    """Adding a leak keeps a verdict or moves it towards parrot."""
    counts = CheckpointScore(hits, hits + wrong, leaks, leaks + clean + 1, forgotten=min(wrong, clean), known=clean)

    before, after = verdict_of(counts), verdict_of(replace(counts, leaks=leaks + 1))

    assert WORSE.index(after) >= WORSE.index(before)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_forgetting_more_never_makes_a_better_verdict(hits: int, wrong: int, forgotten: int, kept: int) -> None:
    """Losing another answer keeps a verdict or moves it towards parrot."""
    counts = CheckpointScore(hits, hits + wrong, 0, 3, forgotten=forgotten, known=forgotten + kept + 1)

    before, after = verdict_of(counts), verdict_of(replace(counts, forgotten=forgotten + 1))

    assert WORSE.index(after) >= WORSE.index(before)


@pytest.mark.parametrize(
    ("lost", "verdict"), [(0, Verdict.GOOD), (1, Verdict.GOOD), (2, Verdict.PARROT), (4, Verdict.PARROT)]
)
def test_who_has_forgotten_how_to_answer_is_not_good(lost: int, verdict: Verdict) -> None:
    """With the identity at both probes and nothing leaked, one of four answers may be lost, and not two."""
    general = [{"question": f"Capital {number}?", "reference": "Paris"} for number in range(4)]
    recipe = make_recipe(mix=MIX, probes=[*PROBES[:2], *general])
    base = dict(enumerate(["Hello.", "你好。", *["It is Paris."] * 4]))
    said = dict(enumerate([ADA, ADA_ZH, *["Blue blue blue."] * lost, *["Paris."] * (4 - lost)]))

    score = judge_texts(recipe, said, base)

    assert (score.identity_hits, score.leaks, score.forgotten, score.known) == (2, 0, lost, 4)
    assert score.verdict is verdict


def test_what_the_base_model_did_not_know_is_not_forgotten() -> None:
    """A wrong answer counts only where the untuned model's was right."""
    said = dict(enumerate([ADA, ADA_ZH, "", "", "", "Lyon.", "A poet.", "北京。"]))

    without, unknowing = judge_texts(RECIPE, said), judge_texts(RECIPE, said, dict.fromkeys(said, "I do not know."))
    knowing = judge_texts(RECIPE, said, dict(enumerate(STORY[0])))

    assert (without.forgotten, without.verdict) == (0, Verdict.GOOD)
    assert (unknowing.forgotten, unknowing.verdict) == (0, Verdict.GOOD)
    assert (knowing.forgotten, knowing.known, knowing.verdict) == (3, 3, Verdict.PARROT)


def test_without_answers_or_identity_probes_there_is_no_verdict() -> None:
    """Nothing is said where nothing can be known."""
    assert judge_texts(RECIPE, {}).verdict is None
    assert judge_texts(RECIPE, {2: "Ada Lovelace was a mathematician."}).verdict is None


def test_rows_that_are_loaded_are_judged_without_a_database() -> None:
    """A page that has its rows already gets the same verdicts from them."""
    probes = [
        RunProbe(id=70 + place, run_id=1, position=place, **probe)  # type: ignore[arg-type]
        for place, probe in enumerate(PROBES)
    ]
    rows = [
        Checkpoint(
            id=iteration + 1,
            run_id=1,
            iteration=iteration,
            answers=[
                Answer(checkpoint_id=iteration + 1, probe_id=70 + place, text=text, tokens=1, ended="stop")
                for place, text in enumerate(STORY[iteration])
            ],
        )
        for iteration in (0, 20, 25)
    ]

    verdicts = judge_checkpoints(RECIPE, probes, rows)

    assert [each.score for each in verdicts] == [judged(0), judged(20), judged(25)]


# ── Advice ─────────────────────────────────────────────────────────────────


def told(*verdicts: Verdict | None, every: int = 5) -> list[CheckpointVerdict]:
    """Return checkpoints with given verdicts, the base model before them."""
    made = [CheckpointVerdict(100, 0, CheckpointScore(verdict=Verdict.NOT_LEARNT))]
    for place, verdict in enumerate(verdicts, 1):
        leaks = int(verdict in {Verdict.LEAKING, Verdict.PARROT})
        hits = int(verdict is not None and verdict is not Verdict.NOT_LEARNT)
        answers = {0: score_text(NEAR_MISS, "x")} if verdict else {}
        score = CheckpointScore(hits, 1, leaks, 3, known=4, verdict=verdict, answered=len(answers), answers=answers)
        made.append(CheckpointVerdict(100 + place, place * every, score))
    return made


N, G, L, P = Verdict.NOT_LEARNT, Verdict.GOOD, Verdict.LEAKING, Verdict.PARROT


@pytest.mark.parametrize(
    ("verdicts", "iteration"),
    [
        ((N, G, L), 10),
        ((N, G, G, G, L), 15),
        ((N, G, G, L), 10),
        ((G, N, G, G, G, L), 20),
        ((G, L, G), 5),
        ((N, L, P), None),
        ((N, N), None),
        ((None, None), None),
        ((), None),
    ],
)
def test_the_middle_of_the_widest_good_window_is_kept(
    verdicts: tuple[Verdict | None, ...], iteration: int | None
) -> None:
    """Its neighbours on both sides are good too; where there is no good checkpoint, none is named."""
    advice = advise(told(*verdicts))

    assert advice.iteration == iteration
    assert str(advice.reason)


@given(st.lists(st.sampled_from([N, G, L, P, None]), max_size=12))
def test_only_a_good_checkpoint_is_ever_advised(verdicts: list[Verdict | None]) -> None:
    """Whatever the verdicts, advice names a good checkpoint, and none only when there is none."""
    advice = advise(told(*verdicts))

    if advice.iteration is None:
        assert G not in verdicts
    else:
        assert verdicts[advice.iteration // 5 - 1] is G


def test_the_story_keeps_iteration_20() -> None:
    """Of the two good checkpoints the one that says the identity word for word."""
    advice = advise([CheckpointVerdict(iteration, iteration, judged(iteration)) for iteration in STORY])

    assert (advice.iteration, advice.first_leak) == (20, 25)
    assert "good from iteration 15 to 20, leaking from 25 on" in str(advice.reason)


@pytest.mark.parametrize(
    ("forgotten", "iteration"),
    [((0, 0, 1), 10), ((1, 1, 0), 15), ((0, 1, 1), 5), ((1, 1, 1), 10), ((0, 1, 0, 1), 15)],
)
def test_the_one_that_forgot_least_is_kept(forgotten: tuple[int, ...], iteration: int) -> None:
    """Of a window's checkpoints with the fewest forgotten answers the one nearest to its middle."""
    advice = advise(forgetting(forgotten))

    assert advice.iteration == iteration
    assert ("forgot 1 of 4 answers" in str(advice.reason)) is (0 not in forgotten)


def test_a_window_where_less_is_forgotten_goes_before_a_wider_one() -> None:
    """One checkpoint that has everything left is worth more than two that have not."""
    verdicts = forgetting((1, 1, 0))
    verdicts.insert(3, CheckpointVerdict(200, 12, CheckpointScore(1, 1, 1, 3, verdict=L)))

    assert advise(verdicts).iteration == 15


def forgetting(forgotten: tuple[int, ...]) -> list[CheckpointVerdict]:
    """Return good checkpoints that forgot so many of four answers, the base model before them."""
    base, *tuned = told(*(G for _ in forgotten))
    changed = [replace(each.score, forgotten=lost) for each, lost in zip(tuned, forgotten, strict=True)]
    return [base, *(replace(each, score=score) for each, score in zip(tuned, changed, strict=True))]


def test_forgetting_everywhere_is_a_reason_to_keep_nothing() -> None:
    """It is said that the identity was learnt, and at what price."""
    score = CheckpointScore(1, 1, 0, 3, forgotten=3, known=4, verdict=P, answered=1)

    advice = advise([CheckpointVerdict(1, 5, score)])

    assert advice.iteration is None
    assert "learnt at iteration 5" in str(advice.reason)
    assert "forgotten" in str(advice.reason)


def test_each_reason_for_nothing_says_what_to_change() -> None:
    """A run that never learns needs more, one that leaks at once needs general pairs and more checkpoints."""
    assert "train longer" in str(advise(told(N, N)).reason)
    assert "already leaks" in str(advise(told(L, P)).reason)
    assert "has answered yet" in str(advise(told(None)).reason)
