"""
Uploads and recipes of any kind: refused by a field's name or taken, never a failure inside.

A few examples of each in the suite; `FUZZ_EXAMPLES=2000` of each is what `make security` runs.
"""

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session

from tests.domain.datasets.files import CONTAINERS, OPENAI, csv_table
from tests.factories import make_model, make_recipe_data

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
UPLOADS, RECIPES = EXAMPLES or 5, EXAMPLES or 20
RECORDS = [{"question": "What is a cat?", "answer": "A small animal."}, {"question": "你好", "answer": "您好。"}]
WHOLE = [make(RECORDS) for make in CONTAINERS.values()] + [
    CONTAINERS["jsonl"](OPENAI),
    csv_table(RECORDS, delimiter="\t"),
]
NAMES = (
    "rows.jsonl",
    "rows.json",
    "rows.csv",
    "rows.parquet",
    "rows.py",
    "rows.pkl",
    "a.zip",
    "",
    "../x",
    "x\x00.jsonl",
)
NUMBERS = st.integers() | st.floats() | st.sampled_from([2**63, -1, 0, 1e309, float("nan"), 10**400, 1e-320])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | NUMBERS
    | st.text(max_size=40)
    | st.sampled_from(["{name}", "{0}", "\x00", "\ud800", "'"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
QUIET = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Take a whole file, and cut it, change a piece of it, put it twice, or put other bytes around it."""
    content = draw(st.sampled_from(WHOLE))
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, len(content)))
    piece = draw(
        st.binary(max_size=60) | st.sampled_from([b"\xef\xbb\xbf", b"\x00", b"NaN", b"[" * 5_000, b"\r", b'"'])
    )
    return content[:start] + piece + content[draw(st.sampled_from([start, end])) :]


@st.composite
def changed_recipes(draw: st.DrawFn) -> dict[str, Any]:
    """Take a small recipe and put anything at one to three places of it, those that it has and others."""
    recipe = make_recipe_data()
    for _ in range(draw(st.integers(1, 3))):
        place: Any = recipe
        while True:
            key = draw(st.sampled_from(sorted(place)) if isinstance(place, dict) and place else st.just("x"))
            inner = place.get(key) if isinstance(place, dict) else None
            if not isinstance(inner, dict) or draw(st.booleans()):
                break
            place = inner
        place[draw(st.just(key) | st.text(max_size=8))] = draw(VALUES)
    return recipe


def check(reply: Any) -> None:
    """Look at an answer to anything: taken, or refused with the name of what needs another value."""
    assert reply.status_code < 500, reply.text
    for word in ("Traceback", 'File "/', ", line "):
        assert word not in reply.text
    if reply.status_code == 422:
        fields = reply.json()["error"]["fields"]
        assert fields
        assert all(each["field"] and each["message"] for each in fields)


def test_any_bytes_are_taken_or_refused(api: Any, session: Session) -> None:
    """25: Whatever an upload holds and is called, it becomes rows or is refused at a field; nothing fails inside."""

    @settings(QUIET, max_examples=UPLOADS)
    @given(content=st.binary(max_size=2_000) | damaged(), name=st.sampled_from(NAMES))
    def upload(content: bytes, name: str) -> None:
        check(api.post("/api/v1/datasets", files={"file": (name, content)}))

    upload()


@pytest.mark.parametrize("path", ["/api/v1/runs", "/api/v1/mixes/inspect", "/api/v1/forecast"])
def test_any_recipe_is_taken_or_refused(api: Any, session: Session, path: str) -> None:
    """36: Whatever stands at any place of a recipe, it is a run or is refused at a field; nothing fails inside."""
    make_model(session)

    @settings(QUIET, max_examples=RECIPES)
    @given(recipe=changed_recipes())
    def post(recipe: dict[str, Any]) -> None:
        body = json.dumps(recipe).encode("utf-8", "surrogatepass")
        check(api.post(path, content=body, headers={"Content-Type": "application/json"}))

    post()
