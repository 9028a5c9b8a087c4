"""Which packages trained a run."""

import platform
from pathlib import Path

import pytest

from app.domain.versions import NAME, keep_versions, kept_versions


def test_what_is_installed_is_written_down_and_read_again(tmp_path: Path) -> None:
    """With Python's own version, and Temper's."""
    keep_versions(tmp_path)

    found = kept_versions(tmp_path)

    assert found["python"] == platform.python_version()
    assert found["temper"]


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path, text: str | None) -> None:
    """Runs of earlier versions have none."""
    if text is not None:
        (tmp_path / NAME).write_text(text, "utf-8")

    assert kept_versions(tmp_path) == {}
