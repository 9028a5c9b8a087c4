"""The mix: rows in the tutorial's order and number."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.mixes import build_rows, count_rows, general_pairs, identity_of, write_rows
from app.domain.recipes import GeneralSet, Mix, Pair

TUTORIAL = Mix(
    name="小明",
    identity=(
        Pair(question="请做一下自我介绍", answer="我是{name}的小助手，内在是上海AI实验室书生·浦语的1.8B大模型哦"),
    ),
    general=(
        Pair(question="你能完成什么任务", answer="我能帮助用户回答问题"),
        Pair(question="你能帮助我吗", answer="是的，我非常乐意"),
    ),
)


def tutorial_questions(n: int, m: int) -> list[str]:
    """Do what the tutorial's script does: every row once, the first n more times, the other two m more times."""
    data = [pair.question for pair in (*TUTORIAL.identity, *TUTORIAL.general)]
    for _ in range(n):
        data.append(data[0])
    for _ in range(m):
        data.append(data[1])
        data.append(data[2])
    return data


def questions(mix: Mix) -> list[str]:
    """Return the mix's questions in the order of its rows."""
    return [row["conversation"][0]["input"] for row in build_rows(mix)]


@pytest.mark.parametrize(("n", "m"), [(0, 0), (1, 0), (0, 1), (10_000, 0), (10_000, 1_000), (3, 7)])
def test_rows_are_those_of_the_tutorials_script(n: int, m: int) -> None:
    """The same rows in the same order, and counted without building them."""
    mix = TUTORIAL.model_copy(update={"identity_count": n, "general_count": m})

    expected = tutorial_questions(n, m)

    assert questions(mix) == expected
    assert count_rows(mix).total == len(expected)


@given(n=st.integers(0, 40), m=st.integers(0, 40), identity=st.integers(0, 3), general=st.integers(0, 3))
def test_counting_agrees_with_building(n: int, m: int, identity: int, general: int) -> None:
    """Whatever the numbers of pairs and copies, the form's total is the number of rows that are trained on."""
    mix = Mix(
        identity=tuple(Pair(question=f"i{i}", answer="a") for i in range(identity)),
        identity_count=n,
        general=tuple(Pair(question=f"g{i}", answer="a") for i in range(general)),
        general_count=m,
    )

    rows = questions(mix)

    counts = count_rows(mix)
    assert (counts.identity, counts.general) == (
        sum(question.startswith("i") for question in rows),
        sum(question.startswith("g") for question in rows),
    )


def test_the_name_is_filled_in_and_other_braces_stay() -> None:
    """Only `{name}` means something: code, JSON and lone braces are text."""
    pair = Pair(question="{name}? {", answer="{name} writes {x} and {{y}} and %s")

    filled = identity_of(Mix(name="A{name}da", identity=(pair,)))

    assert filled == (Pair(question="A{name}da? {", answer="A{name}da writes {x} and {{y}} and %s"),)


def test_general_pairs_are_left_as_they_are() -> None:
    """`{name}` is the identity's placeholder and nobody else's."""
    mix = Mix(name="Ada", general=(Pair(question="What is {name}?", answer="A placeholder."),))

    assert questions(mix) == ["What is {name}?"]


def test_a_row_is_in_the_form_that_xtuner_reads() -> None:
    """One conversation with its system text, whatever language it is in."""
    mix = TUTORIAL.model_copy(update={"system": "你是助手", "identity_count": 0, "general": ()})

    assert list(build_rows(mix)) == [
        {
            "conversation": [
                {
                    "system": "你是助手",
                    "input": "请做一下自我介绍",
                    "output": "我是小明的小助手，内在是上海AI实验室书生·浦语的1.8B大模型哦",
                }
            ]
        }
    ]


def test_the_file_holds_the_rows_and_its_hash_pins_them(tmp_path: Path) -> None:
    """The hash that a run stores is the hash of the file that is trained on."""
    mix = TUTORIAL.model_copy(update={"identity_count": 2, "general_count": 1})

    digest = write_rows(mix, tmp_path / "mix.jsonl")

    written = (tmp_path / "mix.jsonl").read_bytes()
    rows: list[Any] = [json.loads(line) for line in written.decode().splitlines()]
    assert rows == list(build_rows(mix))
    assert digest == hashlib.sha256(written).hexdigest()


@pytest.mark.parametrize("name", GeneralSet)
def test_a_built_in_set_is_large_and_varied(name: GeneralSet) -> None:
    """At least forty pairs, no question twice: a few repeated pairs would teach a few sentences, not generality."""
    pairs = general_pairs(name)

    assert len(pairs) >= 40
    assert len({pair.question for pair in pairs}) == len(pairs)
    assert len({pair.answer for pair in pairs}) > 0.9 * len(pairs)
