"""What is asked of a download: absurd ranges, and names that would end a header."""

import re
from typing import Any

import pytest
from sqlmodel import Session

from app.domain.models import Artifact
from tests.domain.test_downloads import folder_of, make_artifact
from tests.saved_sets import make_set

HUGE = ",".join(["0-"] * 10_000)
PIECES = ",".join(f"{2 * number}-{2 * number}" for number in range(3_000))
BROKEN = (
    'a\r\nSet-Cookie: x=1\r\n\r\n<script>"',
    'x";filename="y.exe',
    "\u202egnp.exe",
    "../../etc/passwd",
    "文件",
    "a" * 150,
)


@pytest.mark.parametrize(
    ("ranges", "statuses"),
    [
        *((many, {200}) for many in (HUGE, PIECES)),
        *((odd, {200, 400, 416}) for odd in ("-" * 5_000, "9" * 400 + "-", "5-1", "x")),
    ],
    ids=lambda each: each[:8] if isinstance(each, str) else "",
)
def test_absurd_ranges_cost_nothing(api: Any, session: Session, ranges: str, statuses: set[int]) -> None:
    """42: Ten thousand ranges are not looked at: all of it comes; what is no range is refused, and by no more bytes."""
    artifact = make_artifact(session)

    reply = api.get(
        f"/api/v1/artifacts/{artifact.id}/download?file=adapter_model.safetensors",
        headers={"Range": f"bytes={ranges}"},
    )

    assert reply.status_code in statuses
    assert len(reply.content) <= artifact.files[1]["size_bytes"]


@pytest.mark.parametrize("name", BROKEN, ids=lambda name: repr(name)[:12])
def test_a_name_stays_in_its_header(api: Any, session: Session, name: str) -> None:
    """43: A set's name with line ends, quotes or a path makes no header, no other name and no folder."""
    kept = make_set(session, name="plain")
    kept.name = name  # as if no check had been before it
    session.add(kept)
    session.commit()

    reply = api.get(f"/api/v1/datasets/{kept.id}/download")

    sent = reply.headers["content-disposition"]
    assert reply.status_code == 200
    assert "set-cookie" not in reply.headers
    assert not set(sent) & set("\r\n\u202e")
    assert len(re.findall(r"filename\*?=", sent)) == 1
    assert "/" not in sent.replace("%2F", "/").partition("filename")[2]


@pytest.mark.parametrize("name", BROKEN, ids=lambda name: repr(name)[:12])
def test_a_file_of_an_artifact_stays_in_its_header(api: Any, session: Session, name: str) -> None:
    """43: Nor does a file that an export would leave under such a name."""
    artifact = make_artifact(session)
    rename(session, artifact, name)

    reply = api.get(f"/api/v1/artifacts/{artifact.id}/download", params={"file": name[:255]})

    assert "set-cookie" not in reply.headers
    assert not set(reply.headers.get("content-disposition", "")) & set("\r\n\u202e")


def rename(session: Session, artifact: Artifact, name: str) -> None:
    """Let an artifact have a file of another name, if a file can have it."""
    if "/" not in name:
        (folder_of(artifact) / "adapter_config.json").rename(folder_of(artifact) / name)
    artifact.files = [artifact.files[0] | {"name": name}, artifact.files[1]]
    session.add(artifact)
    session.commit()
