"""Reading files: every form in every container, and every bad file with its place and its cure."""

import gzip
import importlib.util
import io
import json
import lzma
import runpy
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.datasets.forms import shape_of
from app.domain.datasets.intake import Intake, take_in
from app.domain.datasets.refusals import RefusedFileError, RefusedRowError
from app.domain.datasets.rows import read_rows
from tests.domain.datasets.files import ALPACA, CONTAINERS, FORMS, PAIRS, csv_table, json_list, jsonl, parquet

MapFunction = Callable[[dict[str, Any]], dict[str, Any]]
Take = Callable[[bytes], tuple[Intake, list[Any]]]


def taken(folder: Path, content: bytes) -> tuple[Intake, list[Any]]:
    """Read a file; return what is said of it, and its conversations."""
    source, target = folder / "no name that says anything", folder / "rows.jsonl"
    for path in (source, target, target.with_suffix(".index")):
        path.unlink(missing_ok=True)
    source.write_bytes(content)
    intake = take_in(source, target)
    return intake, [row["conversation"] for row in read_rows(target)]


@pytest.fixture
def take(tmp_path: Path) -> Take:
    """Read files in a folder of the test's own."""
    return lambda content: taken(tmp_path, content)


def refusal(take: Take, content: bytes) -> str:
    """Return the sentence that a file is refused with."""
    with pytest.raises(RefusedFileError) as refused:
        take(content)
    return str(refused.value)


# ── What is read ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_from_every_container(take: Take, form: str, container: str) -> None:
    """What the file is, and what its rows are, is recognised by what it holds, and the texts arrive unchanged."""
    records, expected = FORMS[form]

    intake, conversations = take(CONTAINERS[container](records))

    assert conversations == expected
    assert (intake.form, intake.container, intake.rows) == (form, container.split(maxsplit=1)[0], len(expected))


@pytest.mark.parametrize("names", [("prompt", "response"), ("prompt", "completion"), ("input", "output"),
                                   ("问", "答"), ("问题", "回答")])  # fmt: skip
def test_pairs_have_many_names(take: Take, names: tuple[str, str]) -> None:
    """The usual names of a question and its answer are known, Chinese ones too."""
    records = [dict(zip(names, ("q", "a"), strict=True))]

    for write in CONTAINERS.values():
        assert take(write(records))[1] == [[{"system": "", "input": "q", "output": "a", "output_with_loss": True}]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_columns_may_be_in_capitals_and_divided_by_anything(take: Take, delimiter: str) -> None:
    """A table's head is found by its names; other columns are left alone."""
    table = csv_table([{"ID": "7", " Question": "a,b;c", "ANSWER ": 'say "x"\r\nand y'}], delimiter=delimiter)

    assert take(b"\xef\xbb\xbf" + table)[1][0][0]["output"] == 'say "x"\r\nand y'


@pytest.mark.parametrize("write", [jsonl, json_list])
def test_a_mark_of_utf_8_and_blank_lines_are_no_content(take: Take, write: Any) -> None:
    """A BOM and empty lines before, between and after rows are passed over."""
    content = b"\xef\xbb\xbf\n \r\n" + write(PAIRS) + b"\n\n"

    assert take(content)[0].rows == 2


def test_a_single_row_is_a_document_too(take: Take) -> None:
    """One object, on one line or laid out over many, is one row."""
    for record in (PAIRS[0], FORMS["openai"][0][0], ALPACA[0] | {"history": [["a", "b"]]}):
        for content in (json.dumps(record), json.dumps(record, indent=2)):
            assert take(content.encode())[0].rows == 1


def test_nulls_of_a_parquet_file_are_as_if_not_there(take: Take) -> None:
    """Parquet fills a key that only some turns have with null; that neither masks an answer nor unmasks one."""
    said = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "loss": False}]
    more = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b", "weight": 1}]

    _, conversations = take(parquet([{"messages": said}, {"messages": more}]))

    assert [turns[0]["output_with_loss"] for turns in conversations] == [False, True]


def test_history_comes_before_an_alpaca_row(take: Take) -> None:
    """Earlier turns stand before the row's own, and the system text before them all."""
    record = {"instruction": "c", "output": "d", "history": [["a", "b"]], "system": "S"}

    (turns,) = take(jsonl([record]))[1]

    assert [(each["system"], each["input"], each["output"]) for each in turns] == [("S", "a", "b"), ("", "c\n", "d")]


def test_rows_without_output_are_left_out_and_counted(take: Take) -> None:
    """What the Alpaca set marks as having no output is not learnt, as in xtuner."""
    intake, conversations = take(jsonl([*ALPACA, {"instruction": "x", "input": "", "output": "<nooutput>"}]))

    assert (intake.rows, intake.left_out, len(conversations)) == (2, 1, 2)


def test_weights_are_those_of_openai(take: Take) -> None:
    """Weight 0 masks an answer as `loss: false` does."""
    said = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0}]

    assert take(jsonl([{"messages": said}]))[1][0][0]["output_with_loss"] is False


@settings(max_examples=40, deadline=None)
@given(pairs=st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=6))
def test_any_pairs_survive_in_every_container(tmp_path_factory: pytest.TempPathFactory, pairs: Any) -> None:
    """No text is trimmed, joined or lost on its way in."""
    folder = tmp_path_factory.mktemp("pairs")
    records = [{"question": question, "answer": answer} for question, answer in pairs]

    for write in CONTAINERS.values():
        found = [(turn["input"], turn["output"]) for (turn,) in taken(folder, write(records))[1]]
        assert found == pairs


# ── As xtuner reads it ─────────────────────────────────────────────────────


def map_function(name: str) -> MapFunction:
    """Load one of xtuner's map functions from its own file, which imports nothing."""
    found = importlib.util.find_spec("xtuner")
    if found is None or not found.submodule_search_locations:
        pytest.skip("xtuner is not installed")
    path = Path(found.submodule_search_locations[0], "dataset", "map_fns", "dataset_map_fns", f"{name}.py")
    return cast("MapFunction", runpy.run_path(str(path))[name])


def completed(conversation: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put in what xtuner takes a missing key for."""
    return [{"system": "", "output_with_loss": True} | turn for turn in conversation]


TEXTS = st.text(max_size=6)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "assistant", "user"]), "content": TEXTS},
        optional={"loss": st.sampled_from([True, False, "true", "False"])},
    ),
    max_size=8,
)


@settings(max_examples=200)
@given(messages=MESSAGES)
def test_openai_rows_are_what_xtuner_makes_of_them(messages: list[dict[str, Any]]) -> None:
    """Users in a row, leading answers, late system texts and masked answers come out the same."""
    expected = completed(map_function("openai_map_fn")({"messages": messages})["conversation"])
    record = {"messages": messages}

    if expected:
        assert shape_of(record).convert(record) == expected
    else:
        with pytest.raises(RefusedRowError, match="Nobody answers"):
            shape_of(record).convert(record)


@given(instruction=TEXTS, given_input=TEXTS, output=st.one_of(TEXTS, st.just("<nooutput>")))
def test_alpaca_rows_are_what_xtuner_makes_of_them(instruction: str, given_input: str, output: str) -> None:
    """The line break stands between an instruction and its input, also where there is none."""
    record = {"instruction": instruction, "input": given_input, "output": output}

    assert shape_of(record).convert(record) == completed(map_function("alpaca_map_fn")(record)["conversation"])


# ── What is refused ────────────────────────────────────────────────────────


def archive(kind: str) -> bytes:
    """Return rows in an archive."""
    rows, file = jsonl(PAIRS), io.BytesIO()
    if kind in {"zip", "workbook"}:
        with zipfile.ZipFile(file, "w") as made:
            made.writestr("[Content_Types].xml" if kind == "workbook" else "rows.jsonl", rows)
    elif kind == "tar":
        with tarfile.open(fileobj=file, mode="w") as tar:
            tar.addfile(tarfile.TarInfo("rows.jsonl"))
    made_of: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "xz": lzma.compress,
        "zstd": lambda _: b"\x28\xb5\x2f\xfd\x04",
    }
    return made_of[kind](rows) if kind in made_of else file.getvalue()


@pytest.mark.parametrize("kind", ["zip", "gzip", "xz", "zstd", "tar"])
def test_an_archive_is_named(take: Take, kind: str) -> None:
    """It is not unpacked, however small or large what is in it."""
    assert refusal(take, archive(kind)) == (
        f"This is an archive ({kind}). Unpack it first, and upload the file that is in it."
    )


GOOD = b'{"question": "q", "answer": "a"}\n'
DEEP = b'{"question": "q", "answer": "a", "x": ' + b"[" * 40 + b"]" * 40 + b"}\n"
SAID = '{"messages": [{"role": "user", "content": "q"}, %s]}\n'
BAD_FILES = {
    "nothing": (b"", "There are no rows in this file."),
    "blanks": (b" \n\r\n\t", "There are no rows in this file."),
    "empty list": (b"[]", "There are no rows in this file."),
    "only a head": (b"question,answer\n", "There are no rows in this file."),
    "workbook": (archive("workbook"), "This is a workbook or a document of an office program."),
    "PDF": (b"%PDF-1.7", "This is a file of the kind PDF. Temper reads JSON, JSON Lines, CSV and Parquet."),
    "pickle": (b"\x80\x04\x95", "This is a file of the kind pickle."),
    "page": (b"<!DOCTYPE html><html>", "This is a web page (HTML or XML)."),
    "Python": (b"# data\nimport os\nos.system('x')\n", "This is the text of a program, and nothing is run here."),
    "shell": (b"#!/bin/sh\nrm -rf /\n", "This is the text of a program, and nothing is run here."),
    "prose": (b"Once upon a time\n", "Line 1: “Once upon a time” is neither JSON nor the head of a table"),
    "a number": (b"3", "Line 1: “3” is neither JSON nor the head of a table"),
    "UTF-16": ('{"question": "q"}'.encode("utf-16"), "This text is UTF-16, not UTF-8. Save it as UTF-8"),
    "UTF-16 unmarked": (GOOD.decode().encode("utf-16-le"), "This text is UTF-16, not UTF-8. Save it as UTF-8"),
    "GBK": (GOOD + '{"question": "你", "answer": "a"}\n'.encode("gbk"), "Line 2: Byte 15 is not UTF-8."),
    "GBK table": (b"question,answer\n" + "a,你\n".encode("gbk"), "Line 2: Byte 3 is not UTF-8."),
    "GBK list": ('[{"question":\n"你"}]'.encode("gbk"), "Line 2: Byte 2 is not UTF-8."),
    "NaN": (GOOD + b'{"question": "q", "answer": NaN}\n', "Line 2: NaN is no JSON. Write a number, or null."),
    "Infinity": (b'[{"question": "q", "answer": -Infinity}]', "Row 1: Infinity is no JSON."),
    "twice": (
        GOOD + b'{"question": "q", "answer": "a", "question": "r"}\n',
        "Line 2: The name “question” stands twice",
    ),
    "twice at the end of many": (
        GOOD + ("{" + "".join(f'"{number}": 1, ' for number in range(60_000)) + '"59999": 2}\n').encode(),
        "Line 2: The name “59999” stands twice",
    ),
    "twice in a list": (b"[" + GOOD + b',{"answer": "q", "answer": "a"}]', "Row 2: The name “answer” stands twice"),
    "deep": (GOOD + DEEP, "Line 2: It is nested more than 32 deep."),
    "deep list": (b"[" + GOOD + b"," + DEEP + b"]", "Row 2: It is nested more than 32 deep."),
    "abyss": (GOOD + b"[" * 200_000 + b"\n", "Line 2: It is nested more than 32 deep."),
    "abyss of one": (b"[" * 200_000, "Row 1: It is nested more than 32 deep."),
    "long line": (GOOD + b'{"question": "' + b"x" * (9 << 20) + b'"}\n', "Line 2: It is longer than 8 MiB."),
    "long first line": (b'{"question": "' + b"x" * (9 << 20) + b'"}\n', "Row 1: It is longer than 8 MiB."),
    "long row": (b"[" + GOOD + b',{"question": "' + b"x" * (9 << 20) + b'"}]', "Row 2: It is longer than 8 MiB."),
    "long line of a table": (b"question,answer\n" + b"x" * (9 << 20), "Line 2: It is longer than 8 MiB."),
    "cut off": (GOOD + b'{"question": "q", "ans', "Line 2: It ends in the middle: the file may be cut off."),
    "cut list": (b"[" + GOOD + b',{"question": "q', "Row 2: It ends in the middle: the file may be cut off."),
    "not JSON": (GOOD + b"{'question': 'q'}\n", "Line 2: It is not JSON at character 2: Expecting property name"),
    "not JSON in a list": (b"[" + GOOD + b" {}]", "Row 2: It is not JSON: "),
    "more than a list": (b"[" + GOOD + b"] 3", "Row 2: It is not JSON: parse error: trailing garbage."),
    "two lists": (b'{"a": [' + GOOD + b'], "b": []}', "This object holds more than one list: “a” and “b”."),
    "half a letter": (GOOD + b'{"question": "\\ud83d", "answer": "a"}\n', "Line 2: It holds half a character"),
    "half a letter in a list": (b'[{"question": "\\ud83dx", "answer": "a"}]', "Row 1: It holds half a character"),
    "long number": (
        GOOD + b'{"question": "q", "answer": ' + b"9" * 5_000 + b"}\n",
        "Line 2: It holds a number of",
    ),
    "list of texts": (b'["a"]', "Row 1: It is no object with named values."),
    "lines of lists": (GOOD + b"[1]\n", "Line 2: It is no object with named values."),
    "other names": (b'{"text": "a"}\n', "Row 1: It has “text”. A row needs “messages”"),
    "no names": (b"{}\n{}\n", "Line 1: It has no names. A row needs “messages”"),
    "other columns": (b"text,label\na,b\n", "Line 1: “text,label” is neither JSON nor the head of a table"),
    "two shapes": (
        GOOD + b'{"prompt": "q", "completion": "a"}\n',
        "Line 2: It has “prompt”, “completion”, and the first row had “question”, “answer”.",
    ),
    "few cells": (b"question,answer\na,b\na\n", "Line 3: It has 1 values, and the head of the table names 2."),
    "few cells further down": (b'\n\nquestion,answer\n\n"a\nb",c\n\na\n', "Line 8: It has 1 values"),
    "same columns": (b"question,answer,Answer\na,b,c\n", "Line 1: The column “answer” stands twice."),
    "open quotation": (b'question,answer\na,b\na,"b\nc,d\n', "Line 3: A quotation mark in the row that begins here"),
    "endless row": (b"question,answer\n" + b'"a\n",' * (3 << 20), "Line 2: A quotation mark in the row that begins"),
    "quotation within": (b'question,answer\na,"b"c\n', "Line 2: It is not CSV"),
    "number for text": (GOOD + b'{"question": "q", "answer": 4}\n', "Line 2: “answer” is a number, not text."),
    "wrong role": ((SAID % '{"role": "human", "content": "a"}').encode(), "Line 1: Turn 2 has the “role” “human”."),
    "tool": ((SAID % '{"role": "tool", "content": "a"}').encode(), "Line 1: Turn 2 uses a tool"),
    "tool call": (
        (SAID % '{"role": "assistant", "content": null, "tool_calls": [{}]}').encode(),
        "Line 1: Turn 2 uses a tool",
    ),
    "parts": ((SAID % '{"role": "assistant", "content": []}').encode(), "Line 1: The “content” of turn 2 is a list"),
    "odd loss": (
        (SAID % '{"role": "assistant", "content": "a", "loss": 1}').encode(),
        "Line 1: The “loss” of turn 2 is 1. Write true or false.",
    ),
    "odd weight": (
        (SAID % '{"role": "assistant", "content": "a", "weight": 0.5}').encode(),
        "Line 1: The “weight” of turn 2 is 0.5. Write 0 or 1.",
    ),
    "no answer": (b'{"messages": [{"role": "user", "content": "q"}]}\n', "Line 1: Nobody answers in “messages”"),
    "no turns": (b'{"conversation": []}\n', "Line 1: “conversation” is empty"),
    "no list": (b'{"messages": {}}\n', "Line 1: “messages” is an object, not a list."),
    "broken Parquet": (b"PAR1" + b"x" * 100 + b"PAR1", "This Parquet file cannot be read: "),
    "other Parquet": (parquet([{"text": "a"}]), "Row 1: It has “text”. A row needs “messages”"),
    "numbers in Parquet": (parquet([{"question": 1, "answer": "a"}]), "Row 1: “question” is a number, not text."),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_its_place(take: Take, name: str) -> None:
    """The sentence says what is wrong and where, counted from 1."""
    content, sentence = BAD_FILES[name]

    assert refusal(take, content).startswith(sentence)


@pytest.mark.parametrize("size", range(65_520, 65_545))
def test_a_place_is_right_wherever_a_piece_of_the_file_ends(take: Take, size: int) -> None:
    """Letters and escapes that are cut by a read are put together again, and the byte is counted in its line."""
    before = b'[\n{"question": "' + b"x" * (size - 30)
    good = before + "é👩‍🔬\\ud83d\\ude00\\\\ud83d".encode() + b'", "answer": "a"}]'

    assert take(good)[1][0][0]["input"].endswith("é👩‍🔬😀\\ud83d")
    assert refusal(take, before + b'\\ud83d", "answer": "a"}]').startswith("Row 1: It holds half")
    assert refusal(take, before + b'\xff"}]').startswith(f"Line 2: Byte {len(before) - 2 + 1} is not UTF-8.")
