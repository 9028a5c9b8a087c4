"""Files that are sent as rows, and are made to be something else, or too much."""

import gzip
import io
import json
import pickle
import socket
import tarfile
import zipfile
from collections.abc import Sequence
from select import select as until_ready
from typing import Any

import pytest
from sqlmodel import Session, select

from app.config import settings
from app.domain import accounts
from app.domain.datasets import lines
from app.domain.models import Dataset
from app.web import body_limits

GOOD = b'{"question": "q", "answer": "a"}\n'


def send(api: Any, content: bytes, name: str = "rows.jsonl") -> Any:
    """Upload bytes as a file of this name."""
    return api.post(f"/api/v1/datasets?filename={name}", content=content)


def sentence_of(reply: Any) -> str:
    """Return the sentence at the file."""
    error = reply.json()["error"]
    return str(error["fields"][0]["message"] if error["fields"] else error["message"])


def check_nothing_is_left(session: Session) -> None:
    """Fail if anything of an upload is stored or lies about."""
    incoming = settings().datasets_folder / "incoming"
    assert session.exec(select(Dataset)).all() == []
    assert not incoming.exists() or list(incoming.iterdir()) == []


def zipped(*files: tuple[str, bytes]) -> bytes:
    """Return a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    """Return a tar archive with one file of any name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_a_body_that_is_too_large_is_cut_off(api: Any, session: Session, monkeypatch: Any) -> None:
    """22: By what it says of itself, and by what comes where it says nothing; nothing of it stays on the disk."""
    monkeypatch.setattr(settings(), "largest_upload_bytes", 1 << 20)
    row = json.dumps({"question": "q", "answer": "a" * 1000}).encode() + b"\n"

    said = send(api, row * 2_000)
    unsaid = api.post("/api/v1/datasets", content=(row for _ in range(2_000)))

    assert (said.status_code, unsaid.status_code) == (413, 413)
    check_nothing_is_left(session)


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server wait less than half a second for a body."""
    monkeypatch.setattr(body_limits, "PIECE_SECONDS", 0.4)


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize("path", ["/api/v1/runs", "/api/v1/datasets?filename=rows.jsonl"])
@pytest.mark.parametrize("piece", [b"", b"x"], ids=["stops", "trickles"])
def test_a_body_that_does_not_come_is_given_up(live_server: str, session: Session, path: str, piece: bytes) -> None:
    """22: With a sentence, the connection is closed, and nothing of it stays on the disk."""
    token = accounts.create_token(session, accounts.first_admin(session), name="slow")
    session.commit()
    host = live_server.removeprefix("http://")
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"

    answer = answer_to(host, [head.encode() + GOOD, *[piece] * 50])

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"traceback" not in answer.lower()
    check_nothing_is_left(session)


def answer_to(host: str, pieces: Sequence[bytes]) -> bytes:
    """Send a request piece by piece, a tenth of a second apart, until something is answered; return that."""
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port)), 30) as client:
        for piece in pieces:
            client.sendall(piece)
            if until_ready([client], [], [], 0.1)[0]:
                return b"".join(iter(lambda: client.recv(65_536), b""))
    return b""


def test_a_form_of_many_parts_is_refused(api: Any, session: Session) -> None:
    """22: After the first few, however small each is, and though a good file comes at the end."""
    part = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n'
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.jsonl"\r\n\r\n' + GOOD + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}

    many = api.post("/api/v1/datasets", content=part * 100_000 + file, headers=headers)
    check_nothing_is_left(session)
    one = api.post("/api/v1/datasets", content=part + file, headers=headers)

    assert (many.status_code, one.status_code) == (422, 201)


def test_an_archive_is_never_unpacked(api: Any, session: Session) -> None:
    """23: A bomb, a name that leads elsewhere, an archive in an archive: each is refused for being an archive."""
    bomb = zipped(("rows.jsonl", bytes(20 << 20)))
    archives = [
        bomb,
        zipped(("inner.zip", bomb)),
        tarred("../../etc/cron.d/taken", b"* * * * * id"),
        gzip.compress(tarred("../x", b"x")),
        b"BZh91AY&SY",
    ]

    replies = [send(api, content) for content in archives]

    assert [reply.status_code for reply in replies] == [422] * len(archives)
    assert all("archive" in sentence_of(reply) for reply in replies)
    check_nothing_is_left(session)


def test_what_is_no_rows_at_all_is_of_a_kind_that_is_not_taken(api: Any, session: Session, tmp_path: Any) -> None:
    """24: A program, a pickle, a checkpoint: by what they hold, whatever they are called."""
    canary = tmp_path / "canary"

    class Malicious:
        def __reduce__(self) -> Any:
            return (open, (str(canary), "w"))

    checkpoint = zipped(("archive/data.pkl", pickle.dumps(Malicious())), ("archive/version", b"3\n"))
    files = {
        "x.py": b"import os\nos.system('id')\n",
        "x.jsonl": b"#!/bin/sh\nid\n",
        "x.pkl": pickle.dumps(Malicious()),
        "rows.json": pickle.dumps(Malicious(), protocol=2),
        "x.pth": checkpoint,
        "rows.csv": checkpoint,
        "x.so": b"\x7fELF\x02\x01\x01",
    }

    replies = {name: send(api, content, name).status_code for name, content in files.items()}

    assert replies == dict.fromkeys(files, 415)
    assert not canary.exists()
    check_nothing_is_left(session)


def test_a_monster_of_json_lines_is_refused_with_its_line(api: Any, session: Session, monkeypatch: Any) -> None:
    """25: A line without an end, nesting, numbers that JSON has not, a name twice, another schema: line 2 of each."""
    monsters = {
        "endless": b'{"question": "' + b"x" * (lines.MOST_LINE_BYTES + 10) + b'", "answer": "a"}',
        "nested": b'{"question": ' + b"[" * 100_000 + b"]" * 100_000 + b', "answer": "a"}',
        "nan": b'{"question": "q", "answer": NaN}',
        "twice": b'{"question": "q", "question": "r", "answer": "a"}',
        "schema": b'{"foo": 1}',
        "half": b'{"question": "q", "ans',
        "surrogate": b'{"question": "\\ud800", "answer": "a"}',
        "bytes": b'{"question": "\xff\xfe", "answer": "a"}',
    }

    for name, line in monsters.items():
        reply = send(api, GOOD + line + b"\n" + GOOD)
        assert reply.status_code == 422, name
        assert "ine 2" in sentence_of(reply), (name, sentence_of(reply))
    check_nothing_is_left(session)


def test_no_rows_are_no_set_and_a_mark_of_order_is_no_letter(api: Any, session: Session) -> None:
    """25: An empty file is refused; the mark that Windows puts before UTF-8 is not taken for a part of a name."""
    empty = [send(api, content) for content in (b"", b"\n\n  \n", b"\xef\xbb\xbf", b"[]")]
    marked = send(api, b"\xef\xbb\xbf" + GOOD)

    assert [reply.status_code for reply in empty] == [422] * 4
    assert (marked.status_code, marked.json()["rows"]) == (201, 1)
