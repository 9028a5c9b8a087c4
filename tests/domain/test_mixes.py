"""The mix: rows in the tutorial's order and number."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.datasets.store import dataset_file
from app.domain.mixes import (
    MissingSetError,
    adopt_rows,
    build_rows,
    count_rows,
    general_pairs,
    identity_of,
    keep_rows,
    rows_file,
    write_rows,
)
from app.domain.recipes import FileSource, GeneralSet, Mix, Pair
from tests.factories import save_rows

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


@given(n=st.integers(0, 60), m=st.integers(0, 60))
@example(n=10_000, m=0)
@example(n=10_000, m=1_000)
@settings(max_examples=50, deadline=None)
def test_rows_are_those_of_the_tutorials_script(n: int, m: int) -> None:
    """For any n and m the same rows in the same order, and counted without building them."""
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
                    "output_with_loss": True,
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


def test_variables_are_filled_in_beside_the_name() -> None:
    """Each once and in one go: what a variable holds is not filled in again, and what is none stays."""
    pair = Pair(question="{maker}?", answer="{name} of {maker}, {other}")
    mix = Mix(name="Ada", variables={"maker": "{name} Ltd"}, identity=(pair,))

    assert identity_of(mix) == (Pair(question="{name} Ltd?", answer="Ada of {name} Ltd, {other}"),)


def test_mixes_that_differ_in_a_variable_are_two() -> None:
    """A mix can be looked up by what it is, variables included."""
    mixes = {Mix(variables={"maker": maker}) for maker in ("A", "B", "A")}

    assert len(mixes) == 2


def test_rows_of_a_saved_set_follow_the_pairs(home: Path) -> None:
    """All sources once in their order, then the copies of each, as the set's own lines."""
    sha256 = save_rows(["a", "b"])
    mix = TUTORIAL.model_copy(
        update={
            "identity_count": 1,
            "general": (),
            "files": (FileSource(dataset="set", sha256=sha256, count=2),),
        }
    )

    asked = "请做一下自我介绍"
    assert questions(mix) == [asked, "a", "b", asked, "a", "b", "a", "b"]
    assert count_rows(mix).files == 6


def test_a_share_takes_rows_evenly_spaced(home: Path) -> None:
    """Beside four counted rows, a third of all rows are two: the first and the middle of the set's four."""
    mix = Mix(
        identity=(Pair(question="i", answer="a"),),
        identity_count=3,
        files=(FileSource(dataset="set", sha256=save_rows(["a", "b", "c", "d"]), share=1 / 3),),
    )

    assert questions(mix) == ["i", "a", "c", "i", "i", "i"]


def test_the_rows_of_a_run_are_kept_under_their_hash(home: Path) -> None:
    """The same mix twice is one file, and nothing half written is left."""
    mix = TUTORIAL.model_copy(update={"identity_count": 2})

    digests = {keep_rows(mix), keep_rows(mix)}

    (digest,) = digests
    assert [path.name for path in rows_file(digest).parent.iterdir()] == [f"{digest}.jsonl"]
    assert hashlib.sha256(rows_file(digest).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_mix_whose_saved_set_is_gone_gives_no_rows(home: Path, damage: Callable[[Path], object]) -> None:
    """What is left is not trained on instead: the set is named, and nothing is kept."""
    sha256 = save_rows(["a", "b"])
    mix = TUTORIAL.model_copy(update={"files": (FileSource(dataset="pets", sha256=sha256),)})
    damage(dataset_file(sha256))

    with pytest.raises(MissingSetError, match=f"“pets”, version {sha256[:8]}, is not on this machine"):
        keep_rows(mix)

    assert list(rows_file(sha256).parent.iterdir()) == []


@pytest.mark.parametrize("count", [{"count": 1}, {"share": 0.01}])
def test_a_saved_set_that_is_not_what_its_name_says_is_refused(home: Path, count: dict[str, Any]) -> None:
    """As many rows, of another content: the hash of what is read is not the set's, whichever rows are taken."""
    sha256 = save_rows(["a", "b"])
    file = FileSource.model_validate({"dataset": "pets", "sha256": sha256, **count})
    dataset_file(sha256).write_bytes(dataset_file(sha256).read_bytes().replace(b'"b"', b'"c"'))

    with pytest.raises(MissingSetError, match=f"“pets”, version {sha256[:8]}, is damaged"):
        keep_rows(TUTORIAL.model_copy(update={"files": (file,)}))

    assert list(rows_file(sha256).parent.iterdir()) == []


def test_rows_in_a_run_s_own_folder_are_adopted_only_if_they_are_those(home: Path, tmp_path: Path) -> None:
    """What a run of an earlier version was trained on is kept from then on; anything else is left alone."""
    digest = write_rows(TUTORIAL, tmp_path / "mix.jsonl")

    assert not adopt_rows(tmp_path / "mix.jsonl", "0" * 64)
    assert adopt_rows(tmp_path / "mix.jsonl", digest)
    assert rows_file(digest).read_bytes() == (tmp_path / "mix.jsonl").read_bytes()
    assert len(list(rows_file(digest).parent.iterdir())) == 1


@pytest.mark.parametrize("name", GeneralSet)
def test_a_built_in_set_is_large_and_varied(name: GeneralSet) -> None:
    """At least forty pairs, no question twice: a few repeated pairs would teach a few sentences, not generality."""
    pairs = general_pairs(name)

    assert len(pairs) >= 40
    assert len({pair.question for pair in pairs}) == len(pairs)
    assert len({pair.answer for pair in pairs}) > 0.9 * len(pairs)
