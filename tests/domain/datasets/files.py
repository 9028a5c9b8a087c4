"""Files of rows as people upload them, in every container and form."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

Records = Sequence[dict[str, Any]]


def jsonl(records: Records) -> bytes:
    """Write one object a line."""
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)


def json_list(records: Records) -> bytes:
    """Write one list, laid out as editors do."""
    return json.dumps(list(records), indent=2, ensure_ascii=False).encode()


def json_object(records: Records) -> bytes:
    """Write an object with the list inside."""
    return json.dumps({"version": 1, "data": list(records), "licence": None}).encode()


def csv_table(records: Records, *, delimiter: str = ",") -> bytes:
    """Write a table; a list becomes JSON in its cell."""
    text = io.StringIO(newline="")
    names = list(records[0])
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(names)
    for record in records:
        cells = (record[name] for name in names)
        writer.writerow([cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False) for cell in cells])
    return text.getvalue().encode()


def parquet(records: Records) -> bytes:
    """Write a Parquet file, lists and objects nested."""
    file = io.BytesIO()
    pl.DataFrame(list(records), infer_schema_length=None).write_parquet(file)
    return file.getvalue()


CONTAINERS: dict[str, Callable[[Records], bytes]] = {
    "jsonl": jsonl,
    "json": json_list,
    "json object": json_object,
    "csv": csv_table,
    "parquet": parquet,
}

OPENAI = [
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Who are you?"},
            {"role": "assistant", "content": "Ada's “assistant”,\nof course."},
            {"role": "user", "content": "And then?"},
            {"role": "assistant", "content": "你好 👩‍🔬"},
        ]
    },
    {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": ""}]},
]
ALPACA = [
    {"instruction": "Add.", "input": "1 + 1", "output": "2", "system": "You add."},
    {"instruction": "Say hello.", "input": "", "output": "Hello.", "system": ""},
]
SHAREGPT = [
    {
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "Hi"},
            {"from": "gpt", "value": "Hello"},
        ]
    },
    {"conversations": [{"from": "human", "value": "Bye"}, {"from": "gpt", "value": "Bye."}]},
]
XTUNER = [
    {
        "conversation": [
            {"system": "S", "input": "a", "output": "b", "output_with_loss": True},
            {"system": "", "input": "c", "output": "d", "output_with_loss": False},
        ]
    }
]
PAIRS = [{"question": "1 + 1?", "answer": "2"}, {"question": "你是谁？", "answer": "我是 Ada 的助手。"}]


def turn(question: str, answer: str, system: str = "", *, learnt: bool = True) -> dict[str, Any]:
    """Return one stored turn."""
    return {"system": system, "input": question, "output": answer, "output_with_loss": learnt}


FORMS: dict[str, tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]] = {
    "openai": (
        OPENAI,
        [
            [turn("Who are you?", "Ada's “assistant”,\nof course.", "Be brief."), turn("And then?", "你好 👩‍🔬")],
            [turn("Why?", "")],
        ],
    ),
    "alpaca": (ALPACA, [[turn("Add.\n1 + 1", "2", "You add.")], [turn("Say hello.\n", "Hello.")]]),
    "sharegpt": (SHAREGPT, [[turn("Hi", "Hello", "Be brief.")], [turn("Bye", "Bye.")]]),
    "xtuner": (XTUNER, [[turn("a", "b", "S"), turn("c", "d", learnt=False)]]),
    "pairs": (PAIRS, [[turn("1 + 1?", "2")], [turn("你是谁？", "我是 Ada 的助手。")]]),
}
