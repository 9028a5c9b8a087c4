"""Folders that want to lead out of themselves, to run, or to be too much."""

import os
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import Session

from app.domain.errors import InvalidError
from app.domain.importing import log_lines
from app.domain.importing.configs import read_config
from app.domain.importing.exchanges import outputs_in, read_exchange, read_exchanges
from app.domain.importing.found import Start
from app.domain.importing.log_lines import LogReader
from app.domain.importing.places import open_work_folder
from app.domain.importing.reading import read_work_folder
from app.domain.importing.scalars import read_scalars
from app.domain.importing.storing import Wishes
from app.domain.importing.taking import Given, prepared
from tests.xtuner_folders import tutorial_run, write_start


def test_links_out_of_the_folder_are_not_there(tmp_path: Path) -> None:
    """Neither a file nor a folder elsewhere is read through a link, however it is named."""
    outside = tmp_path / "secret"
    tutorial_run(outside)
    inside = tmp_path / "train"
    tutorial_run(inside)
    (inside / "iter_900.pth").symlink_to(outside / "iter_300.pth")
    (inside / "20250101_000000").symlink_to(outside / "20240406_203957")
    (inside / "loop.py").symlink_to(inside / "loop.py")

    found = read_work_folder(inside)

    assert [each.iteration for each in found.checkpoints] == [0, 300, 600, 768]
    assert len(found.starts) == 1


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    """Somebody has tidied up, and left links."""
    folder = tutorial_run(tmp_path)
    (folder / "kept").mkdir()
    (folder / "iter_300.pth").rename(folder / "kept" / "best.pth")
    (folder / "iter_300.pth").symlink_to("kept/best.pth")

    assert [each.iteration for each in read_work_folder(folder).checkpoints if each.name] == [300, 600, 768]


def test_a_pipe_is_no_log(tmp_path: Path) -> None:
    """Reading one would wait for ever."""
    folder = tutorial_run(tmp_path)
    os.mkfifo(folder / "20240406_203957" / "other.log")
    os.mkfifo(folder / "config.py")

    assert read_work_folder(folder).iterations == 768


@pytest.mark.parametrize("path", ["/dev/null", "/nowhere", "a\0b"], ids=["device", "missing", "zero"])
def test_what_is_no_folder_is_refused(path: str) -> None:
    """With the one error that a folder can bring."""
    with pytest.raises(InvalidError):
        open_work_folder(Path(path))


def test_a_config_is_never_run(tmp_path: Path) -> None:
    """It may hold any program: nothing happens."""
    trap = tmp_path / "ran"
    text = f"import os\nos.system('touch {trap}')\nlr = __import__('os').system('touch {trap}')\nmodel = dict()\n"

    config = read_config("trap", text)

    assert config is not None
    assert not trap.exists()
    assert "learning_rate" not in config.values.get("training", {})


@pytest.mark.parametrize(
    "text",
    [
        "model = dict()\nx = 9\n" + "x *= x\n" * 64,
        "model = " + "(" * 5_000 + "1" + ")" * 5_000,
        "model = " + "-" * 50_000 + "1",
        "model = dict(\x00)",
        "def",
        "x = 1",
    ],
    ids=["multiplies", "nests", "negates", "zero", "half", "none"],
)
def test_a_config_that_wants_too_much_is_none(text: str) -> None:
    """Neither memory nor the stack is given to it."""
    config = read_config("bomb", text)

    assert config is None or "lr" not in config.values


@pytest.mark.parametrize("name", ["lr", "evaluation_inputs"])
def test_a_config_that_names_lists_in_lists_is_read_at_once(session: Session, tmp_path: Path, name: str) -> None:
    """A few hundred bytes of it stand for millions of values; a dry run takes no longer than of any other."""
    levels = "".join(f"a{n} = [{', '.join([f'a{n - 1}'] * 10)}]\n" for n in range(1, 8))
    text = f"pretrained_model_name_or_path = 'm'\na0 = [1, 2, 3, 4, 5]\n{levels}{name} = a7\n"
    (tmp_path / "iter_10.pth").write_bytes(b"never opened")
    (tmp_path / "config.py").write_text(text, "utf-8")
    began = process_time()

    with prepared(tmp_path, Given()) as found:
        recipe, _ = found.planned(session, Wishes())

    assert process_time() - began < 2
    assert recipe.probes == ()


@pytest.mark.parametrize("letter", ["\\ud800", "\\x00"], ids=["half", "zero"])
def test_a_config_with_characters_that_no_database_stores_is_taken(
    session: Session, tmp_path: Path, letter: str
) -> None:
    """Half of a character, or a zero, stands in a path, a system text, a question or a file of rows."""
    (tmp_path / "iter_10.pth").write_bytes(b"never opened")
    (tmp_path / "config.py").write_text(
        f"pretrained_model_name_or_path = 'm{letter}'\nSYSTEM = 'be brief{letter}'\n"
        f"data_path = '/rows{letter}.json'\nevaluation_inputs = ['who{letter} are you']\nlr = '{letter}'\n",
        "utf-8",
    )

    with prepared(tmp_path, Given(identity=("I am me.",))) as found:
        imported = found.store(session, Wishes())

    session.flush()  # what cannot be stored shows here
    told = f"{imported.run.recipe} {imported.run.model.source} {' '.join(map(str, imported.notes))}"
    told.encode()
    assert "\x00" not in told
    assert imported.run.recipe["mix"]["system"].startswith("be brief")


@pytest.mark.parametrize("value", ["5", "[[1], 2]", "1.5"])
def test_questions_that_are_none_are_no_hindrance(value: str) -> None:
    """Whatever stands in their place."""
    config = read_config("odd", f"model = dict()\nevaluation_inputs = {value}\n")

    assert config is None or config.questions == ()


def test_text_that_is_no_text_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """Broken UTF-8, zeros, colours and lines without an end are in logs of crashed machines."""
    write_start(tmp_path, iterations=range(10, 31, 10), has_ended=False)
    log = tmp_path / "20240406_203957" / "20240406_203957.log"
    log.write_bytes(b"\xff\xfe\x00\x1b[31m" + b"x" * 300_000 + b"\n" + log.read_bytes() + b"\x00" * 1000)
    (tmp_path / "20240406_203957" / "vis_data" / "eval_outputs_iter_29.txt").write_bytes(
        b"Eval output 1:\n<s><|im_start|>user\nq\x00\xff<|im_end|>\n<|im_start|>assistant\n"
        b"<script>\x00</script></s>\n\n"
    )

    found = read_work_folder(tmp_path)

    assert list(found.starts[0].measured) == [10, 20, 30]
    answer = next(each for each in found.checkpoints if each.iteration == 30).said[0]
    assert answer.text == "<script></script>"


def test_a_log_of_any_length_takes_a_fixed_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many numbers every second, fourth and so on is kept."""
    monkeypatch.setattr(log_lines, "MOST_MEASURED", 1_000)
    log = tmp_path / "long.log"
    with log.open("w") as file:
        for iteration in range(1, 3_000):
            file.write(f"01/01 00:00:00 - mmengine - INFO - Iter(train) [{iteration}/999999]  lr: 1  loss: 1\n")
    start = Start("long")

    with log.open("rb") as file:
        LogReader(start).read(file)

    assert 250 < len(start.measured) <= 1_000


LINES = st.sampled_from(
    [
        b"2024/05/07 11:45:16 - mmengine - INFO - Iter(train) [ 510/2046]  lr: nan  time: x  loss: inf\n",
        b"02/29 23:59:59 - mmengine - INFO - Iter(train) [999999999/1]  loss: 1\n",
        b"2024/13/99 99:99:99 - mmengine - INFO - Saving checkpoint at 0 iterations\n",
        b"2024/05/07 11:45:16 - mmengine - INFO - Saving checkpoint at 30 iterations\n",
        b"2024/05/07 11:45:16 - mmengine - INFO - before_train in EvaluateChatHook.\n",
        b"2024/05/07 11:45:16 - mmengine - INFO - after_train_iter in EvaluateChatHook.\n",
        b"2024/05/07 11:45:16 - mmengine - INFO - after_train in EvaluateChatHook.\n",
        b"2024/05/07 11:45:16 - mmengine - INFO - Sample output:\n",
        b"2024/05/07 11:45:16 - mmengine - INFO - resumed epoch: 0, iter: 20\n",
        b"0000/01/01 00:00:00 - mmengine - INFO - Epoch(train) [999999][1/999999999]\n",
        b'{"iter": 10, "loss": 1e999, "memory": 1e300, "time": -1}\n',
        b'{"iter": 1e3, "loss": {}}\n[[[[\n',
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES | st.binary(max_size=80), max_size=30).map(b"".join), st.integers(0, 100))
def test_no_log_stops_the_reading(tmp_path_factory: pytest.TempPathFactory, content: bytes, every: int) -> None:
    """Whatever the lines are, the reader comes to their end, and what it has is within bounds."""
    path = tmp_path_factory.mktemp("log") / "any.log"
    path.write_bytes(content)
    start = Start("20240507_110000")

    with path.open("rb") as file:
        LogReader(start, every=every).read(file)
    with path.open("rb") as file:
        read_scalars(start, file)

    assert all(0 < at <= 1_000_000 for at in start.measured)
    assert all(one.seconds >= 0 for one in start.measured.values())


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300), st.text(max_size=40), st.sampled_from(["", "internlm2_chat", "default", "no such"]))
def test_no_answer_stops_the_reading(text: str, question: str, template: str) -> None:
    """Any text has a question and an answer, which can be stored."""
    (said,) = read_exchanges([text], questions=[question], template=template, system="{system")

    assert "\x00" not in (said.question + said.text).encode().decode()  # which half a character would refuse


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=400))
def test_no_config_stops_the_reading(text: str) -> None:
    """It is a config, or it is none."""
    read_config("any", text)


END = "<|im_end|>"
LLAMA3 = "<|start_header_id|>{}<|end_header_id|>\n\n"


# ── Answers ────────────────────────────────────────────────────────────────


def test_a_line_of_the_file_inside_of_an_answer_is_a_part_of_it() -> None:
    """Unless it has the very next number, which nobody can tell apart."""
    text = "Eval output 1:\na\nEval output 7:\nb\n\n\nEval output 2:\nc\n\n\n"

    assert outputs_in(text) == ["a\nEval output 7:\nb", "c"]


@pytest.mark.parametrize(
    ("text", "template", "question", "answer"),
    [
        (" <s> <|User|>:who are you?<eoh>\n<|Bot|>:Hi there!<eoa>\n</s>", "internlm_chat", "who are you?", "Hi there!"),
        (" <s><|User|>:你是谁？\n<|Bot|>:我是书生", "default", "你是谁？", "我是书生"),
        (f"<|im_start|> user\nq?{END} \n<|im_start|> assistant\na{END}\n<|im_start|>user\nb", "qwen_chat", "q?", "a"),
        ("<s> [INST] q? [/INST] a </s>", "llama2_chat", "q?", "a"),
        (f"{LLAMA3.format('user')}q?<|eot_id|>{LLAMA3.format('assistant')}a<|eot_id|>", "llama3_chat", "q?", "a"),
        ("[Round 1]\n\n问：q?\n\n答：a", "chatglm2", "q?", "a"),
    ],
    ids=["internlm", "default", "spaced", "llama2", "llama3", "chatglm2"],
)  # fmt: skip
def test_each_template_is_taken_apart(text: str, template: str, question: str, answer: str) -> None:
    """By the config's question and template, and by the markers alone where neither is known."""
    (known,) = read_exchanges([text], questions=[question], template=template)

    unknown = read_exchange(text, question="", templates=())

    assert (known.question, known.text) == (question, answer)
    assert (unknown.question, unknown.text) == (question, answer)


def test_a_system_text_is_no_part_of_the_question() -> None:
    """It stands before it, and may hold markers."""
    text = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nq?<|im_end|>\n<|im_start|>assistant\na<|im_end|>"

    (said,) = read_exchanges([text], questions=["q?"], template="qwen_chat", system="Be brief.")

    assert (said.question, said.text) == ("q?", "a")


def test_a_question_of_several_turns_is_asked_as_it_stands() -> None:
    """Somebody has put a whole conversation into one question: the answer is what follows all of it."""
    question = "a<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc"
    text = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\nd<|im_end|>"

    (said,) = read_exchanges([text], questions=[question], template="qwen_chat")

    assert said.text == "d"


def test_an_answer_that_was_cut_says_so() -> None:
    """It has no end token; one in the middle of a text is none."""
    cut = read_exchange("<|User|>:q<eoh>\n<|Bot|>:so <s>much</s> to say", question="q", templates=())
    whole = read_exchange("<|User|>:q<eoh>\n<|Bot|>:so <s>much</s> said</s>", question="q", templates=())

    assert (cut.text, cut.ended) == ("so <s>much</s> to say", "length")
    assert (whole.text, whole.ended) == ("so <s>much</s> said", "stop")
