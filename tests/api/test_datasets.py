"""Datasets over the REST API: uploads of every kind, and what is refused before, while and after they are read."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.config import settings
from app.domain import accounts
from app.domain.models import Role
from app.web import uploads
from tests.conftest import forget_settings
from tests.domain.datasets.files import CONTAINERS, FORMS, PAIRS, jsonl
from tests.factories import make_recipe, make_run

ROWS = jsonl(PAIRS)


def upload(api: TestClient, content: Any = ROWS, **params: str) -> Any:
    """Post a file as the body itself."""
    return api.post("/api/v1/datasets", params={"name": "set", **params}, content=content)


def stored_files() -> list[Path]:
    """Return every file in the folder of the datasets."""
    return [path for path in settings().datasets_folder.rglob("*") if path.is_file()]


def refused(reply: Any, status: int = 422) -> str:
    """Return the sentence of a refusal, after which nothing is stored."""
    assert reply.status_code == status, reply.text
    assert stored_files() == []
    problem: dict[str, Any] = reply.json()["error"]
    return str(problem["fields"][0]["message"] if problem["fields"] else problem["message"])


def test_a_file_is_uploaded_once(api: TestClient) -> None:
    """The first time it is made, the second time it is there already: the same version."""
    first, again = upload(api, filename="a.jsonl"), upload(api, filename="b.jsonl")

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    made = api.get(first.headers["location"]).json()
    assert {name: made[name] for name in first.json()} == first.json()
    assert (made["name"], made["rows"], made["form"], made["container"]) == ("set", 2, "pairs", "jsonl")
    assert (made["source_name"], made["used_by"], len(made["versions"])) == ("a.jsonl", 0, 1)


@pytest.mark.parametrize("container", CONTAINERS)
def test_rows_come_back_as_they_are_stored(api: TestClient, container: str) -> None:
    """What was uploaded is there, turn by turn, whatever held it."""
    records, expected = FORMS["openai"]
    dataset = upload(api, CONTAINERS[container](records)).json()

    page = api.get(f"/api/v1/datasets/{dataset['id']}/rows", params={"row": 2, "limit": 1}).json()

    assert [row["conversation"] for row in page["rows"]] == expected[1:2]
    assert (page["total"], page["first_row"], page["next_cursor"]) == (2, 2, None)


def test_a_form_uploads_too(api: TestClient) -> None:
    """A browser's form has the file as a part, and the name before or after it."""
    named = api.post("/api/v1/datasets", files={"file": ("rows.jsonl", jsonl(PAIRS))}, data={"name": "from a form"})
    unnamed = api.post("/api/v1/datasets", files={"file": ("..\\folder\\my rows.jsonl", jsonl(PAIRS))})

    assert (named.status_code, named.json()["name"], named.json()["source_name"]) == (
        201,
        "from a form",
        "rows.jsonl",
    )
    assert unnamed.json()["name"] == "my rows"


def test_a_form_is_put_together_however_it_is_cut(api: TestClient) -> None:
    """The parts of a form may come a few bytes at a time."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="r.jsonl"\r\n\r\n'
    name = b'\r\n--x\r\nContent-Disposition: form-data; name="name"\r\n\r\ncut\r\n--x--\r\n'
    body = head + jsonl(PAIRS) + name
    pieces = (body[start : start + 7] for start in range(0, len(body), 7))

    reply = api.post("/api/v1/datasets", content=pieces, headers={"Content-Type": "multipart/form-data; boundary=x"})

    assert (reply.status_code, reply.json()["name"]) == (201, "cut")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"--x\r\n", "The form ends in the middle. Send it again."),
        (b"nothing of a form", "The form cannot be read: "),
        (
            b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\na\r\n--x--\r\n',
            "Send one file, as the part “file”",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n' + b"a" * 2_000 + b"\r\n--x--\r\n",
            "The form has a field that is too long",
        ),
        (b"--x\r\nX: " + b"a" * 2_000 + b"\r\n\r\n\r\n--x--\r\n", "The form has a field that is too long"),
        (b"--x\r\nX: a\r\n\r\n\r\n" * 9 + b"--x--\r\n", "The form has a field that is too long, or too many"),
        (
            b'--x\r\nContent-Disposition: form-data; name="else"; filename="a"\r\n\r\na\r\n--x--\r\n',
            "Send one file, as the part “file” of the form.",
        ),
        (b'--x\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n\r\n--x--\r\n', "A name has 1 to"),
    ],
)
def test_a_broken_form_is_refused(api: TestClient, body: bytes, sentence: str) -> None:
    """Nothing of it is stored."""
    reply = api.post("/api/v1/datasets", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})

    assert refused(reply).startswith(sentence)


def test_a_form_without_a_boundary_is_refused(api: TestClient) -> None:
    """A content type that says too little is no mistake of the server's."""
    reply = api.post("/api/v1/datasets", content=b"x", headers={"Content-Type": "multipart/form-data"})

    assert refused(reply).startswith("The form ")


def test_a_bad_file_is_refused_with_its_line(api: TestClient) -> None:
    """422 at the field of the file."""
    reply = upload(api, jsonl(PAIRS) + b'{"question": NaN}')

    assert reply.json()["error"]["fields"][0]["field"] == "file"
    assert refused(reply) == "Line 3: NaN is no JSON. Write a number, or null."


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "../../etc/passwd", "{name}", "集合", "a" * 120])
def test_a_name_is_text(api: TestClient, name: str) -> None:
    """Whatever it looks like, it comes back as it was, and is no part of a path."""
    dataset = upload(api, name=name, filename=f"{name}.jsonl").json()

    assert dataset["name"] == name
    assert api.get("/api/v1/datasets", params={"name": name}).json()["datasets"] == [dataset]
    sent = api.get(f"/api/v1/datasets/{dataset['id']}/download").headers["content-disposition"]
    assert not {"/", "<", ">"} & set(sent)
    assert {path.parent for path in stored_files()} == {settings().datasets_folder}


@pytest.mark.parametrize("name", ["a" * 121, "a\x00", "\n\t", "\x7f"])
def test_a_name_that_is_none_is_refused(api: TestClient, name: str) -> None:
    """Before anything is read."""
    assert "ame" in refused(upload(api, name=name))


# ── How large ──────────────────────────────────────────────────────────────


@pytest.fixture
def small(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """Allow uploads of a megabyte."""
    monkeypatch.setenv("TEMPER_LARGEST_UPLOAD_BYTES", str(1 << 20))
    forget_settings()
    return api


def test_an_upload_may_be_larger_than_other_bodies(api: TestClient) -> None:
    """A file of rows may have more than a recipe."""
    padding = b" " * (1 << 20) + b"\n"

    reply = upload(api, (part for part in [jsonl(PAIRS), *[padding] * 34]))

    assert reply.status_code == 201, reply.text


def test_an_upload_that_is_too_large_is_refused(small: TestClient) -> None:
    """At the door where it says its size, in the middle where it does not; as a body and as a form."""
    large = b" " * (3 << 20)

    said = upload(small, large)
    unsaid = upload(small, (large[start : start + (1 << 18)] for start in range(0, len(large), 1 << 18)))
    form = small.post("/api/v1/datasets", files={"file": ("a", b" " * ((1 << 20) + 1))}, data={"name": "a"})

    for reply in (said, unsaid, form):
        assert "too large" in refused(reply, 413).lower()
        assert reply.json()["error"]["kind"] == "too_large"


def test_a_disk_without_room_is_told(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upload is not begun."""
    monkeypatch.setenv("TEMPER_MIN_FREE_BYTES", str(1 << 60))
    forget_settings()

    assert refused(upload(api), 503).startswith("The disk has no room for this file.")


def test_a_disk_that_fills_up_meanwhile_is_told(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a body that did not say its size; nothing of it stays."""
    free = iter([1 << 40, (64 << 20) + (1 << 20)])
    monkeypatch.setattr(uploads, "ROOM_CHECK_BYTES", 1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=next(free)))
    monkeypatch.setenv("TEMPER_MIN_FREE_BYTES", str(64 << 20))
    forget_settings()

    reply = upload(api, (b" " * (1 << 20) for _ in range(10)))

    assert refused(reply, 503).startswith("The disk has no room for this file.")
    assert stored_files() == []
    assert next(free, None) is None


def test_an_upload_that_breaks_off_leaves_nothing(api: TestClient) -> None:
    """The folder that it came into is gone."""

    def broken() -> Iterator[bytes]:
        yield jsonl(PAIRS)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        upload(api, broken())

    assert stored_files() == []


# ── Lists, files, deletion ─────────────────────────────────────────────────


def test_sets_are_listed_at_their_newest_version(api: TestClient) -> None:
    """The newest first, by words of their names, a page at a time."""
    for number, name in enumerate(["red apples", "green apples", "red apples"]):
        upload(api, jsonl([{"question": str(number), "answer": "a"}]), name=name)

    everything = api.get("/api/v1/datasets").json()
    red = api.get("/api/v1/datasets", params={"q": "APPLES red"}).json()
    first = api.get("/api/v1/datasets", params={"limit": 1}).json()
    second = api.get("/api/v1/datasets", params={"limit": 1, "cursor": first["next_cursor"]}).json()

    assert [each["name"] for each in everything["datasets"]] == ["red apples", "green apples"]
    assert (everything["total"], red["total"], second["total"]) == (2, 1, 2)
    assert [each["name"] for each in second["datasets"]] == ["green apples"]
    versions = api.get(f"/api/v1/datasets/{red['datasets'][0]['id']}").json()["versions"]
    assert [version["id"] for version in versions] == [3, 1]


def test_a_set_is_taken_away_byte_for_byte(api: TestClient) -> None:
    """Its hash is its tag, and a part of it may be asked for."""
    dataset = upload(api, name="Ada's set").json()
    path = f"/api/v1/datasets/{dataset['id']}/download"

    whole, part = api.get(path), api.get(path, headers={"Range": "bytes=10-19"})

    assert hashlib.sha256(whole.content).hexdigest() == dataset["sha256"]
    assert whole.headers["etag"] == f'"{dataset["sha256"]}"'
    assert whole.headers["content-length"] == str(dataset["size_bytes"])
    assert f"Ada_s%20set-{dataset['sha256'][:8]}.jsonl" in whole.headers["content-disposition"]
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert upload(api, whole.content, name="again").json()["sha256"] == dataset["sha256"]


def test_a_set_is_deleted(api: TestClient, session: Session) -> None:
    """Unless a run was made from it."""
    used, dataset = upload(api).json(), upload(api, jsonl(PAIRS[:1])).json()
    make_run(session, recipe=make_recipe(mix={"files": [{"dataset": "set", "sha256": used["sha256"]}]}))
    path = f"/api/v1/datasets/{dataset['id']}"

    kept = api.delete(f"/api/v1/datasets/{used['id']}")
    assert (kept.status_code, kept.json()["error"]["kind"]) == (409, "conflict")
    assert api.get(f"/api/v1/datasets/{used['id']}").json()["used_by"] == 1

    assert api.delete(path).status_code == 204
    assert {each.stem for each in stored_files()} == {used["sha256"]}
    for gone in (api.get(path), api.get(f"{path}/rows"), api.get(f"{path}/download"), api.delete(path)):
        assert gone.status_code == 404


def test_a_viewer_reads_and_changes_nothing(api: TestClient, session: Session) -> None:
    """Uploading and deleting take a runner."""
    dataset = upload(api).json()
    accounts.first_admin(session).role = Role.VIEWER
    session.commit()

    assert upload(api, name="other").status_code == 403
    assert api.delete(f"/api/v1/datasets/{dataset['id']}").status_code == 403
    for path in ("", f"/{dataset['id']}", f"/{dataset['id']}/rows", f"/{dataset['id']}/download"):
        assert api.get(f"/api/v1/datasets{path}").status_code == 200


def test_without_a_token_nothing_is_read(anonymous: TestClient, session: Session) -> None:
    """A large body of a stranger is not even received."""
    assert upload(anonymous).status_code == 401
    assert not settings().datasets_folder.exists()
