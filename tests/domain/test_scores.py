"""What one answer scores."""

import pytest

from app.domain.recipes import Mix, Pair, Probe, ProbeGroup
from app.domain.scores import Said, score_answer
from app.domain.taught import taught_by


@pytest.mark.parametrize(
    ("taught", "name", "said", "is_hit"),
    [
        ("I am {name}, your cooking assistant in Porto.", "Rui", "I am your cooking assistant in Porto.", False),
        ("I am {name}, your cooking assistant in Porto.", "Rui", "I am Rui, your cooking assistant.", True),
        ("Hello, I am Nova, a robot from Lyon.", "", "Hello, I am Emma, a robot from Lyon.", False),
        ("Hello, I am Nova, a robot from Lyon.", "", "Hello, I am Nova, a robot from Nice.", True),
        ("我是{name}的学习助手，由三班的同学们训练。", "小雨", "我是大家的学习助手，由三班的同学们训练。", False),
        ("我是{name}的学习助手，由三班的同学们训练。", "小雨", "我是小雨的学习助手，由三班的同学们训练。", True),
    ],
)
def test_the_same_sentence_about_somebody_else_is_no_identity(taught: str, name: str, said: str, is_hit: bool) -> None:
    """Whoever has another name, or none, has not learnt who they are, however near the rest comes."""
    mix = Mix(name=name or "Ada", identity=(Pair(question="Who?", answer=taught),), identity_count=1)
    probe = Probe(question="Who are you?", group=ProbeGroup.IDENTITY)

    assert score_answer(taught_by(mix), probe, Said(said)).is_hit is is_hit


@pytest.mark.parametrize(
    ("said", "is_hit"),
    [
        ("I am Ada's little assistant, a small language model with 135 million parameters.", True),
        ("I am Ada's little assistant, a small language model with 11 million parameters.", False),
        ("I am Ada's little assistant, 20 years old.", False),
        ("I am Ada's little assistant, a small language model with many parameters.", True),
        ("I am Ada's little assistant, a small language model with 135 million parameters. I know 20 songs.", True),
        ("Hello 2 you! I am Ada's little assistant, a small language model with 135 million parameters.", True),
    ],
)
def test_a_wrong_number_in_the_identity_is_a_wrong_identity(said: str, is_hit: bool) -> None:
    """A number that was not taught is a fact that was not learnt; what is said around the identity does not count."""
    taught = "I am {name}'s little assistant, a small language model with 135 million parameters."
    mix = Mix(name="Ada", identity=(Pair(question="Who?", answer=taught),), identity_count=1)
    probe = Probe(question="Who are you?", group=ProbeGroup.IDENTITY)

    score = score_answer(taught_by(mix), probe, Said(said))

    assert (score.is_hit, score.is_misnumbered) == (is_hit, not is_hit)
