"""
Static files, answered from memory: read and compressed once, and again when one has changed.

Only names that were found in `static/` are answered here; everything else of that address is Starlette's.
"""

import gzip
from dataclasses import dataclass
from email.utils import formatdate
from functools import cache
from http import HTTPStatus
from mimetypes import guess_type
from pathlib import Path

from fastapi import Request
from fastapi.responses import Response

from app.web.assets import STATIC_FOLDER
from app.web.tags import is_named, tag_of

PREFIX = "/static/"
YEAR_SECONDS = 365 * 24 * 3600
LEAST_COMPRESSED = 1_000  # bytes
COMPRESSED = ("text/", "application/javascript", "application/json", "application/manifest+json", "image/svg+xml")


@dataclass(frozen=True)
class KeptFile:
    """One file as it was at a moment."""

    body: bytes
    gzip: bytes | None
    """None where that is no shorter."""
    headers: dict[str, str]


@cache
def _paths() -> dict[str, Path]:
    """Return the files by their address; a link that leads out of the folder is none of them."""
    found = (path for path in STATIC_FOLDER.rglob("*") if path.is_file() and not path.is_symlink())
    return {PREFIX + path.relative_to(STATIC_FOLDER).as_posix(): path for path in found}


@cache
def _kept(path: Path, changed_at: int) -> KeptFile:
    body = path.read_bytes()
    media = guess_type(path.name)[0] or "application/octet-stream"
    packed = gzip.compress(body, mtime=0) if media.startswith(COMPRESSED) and len(body) >= LEAST_COMPRESSED else None
    headers = {
        "Content-Type": f"{media}; charset=utf-8" if media.startswith("text/") else media,
        "ETag": tag_of(body),
        "Last-Modified": formatdate(changed_at / 1e9, usegmt=True),
        "Vary": "Accept-Encoding",
    }
    return KeptFile(body, packed, headers)


def at_once(request: Request) -> Response | None:
    """Answer with a whole static file; None for all else."""
    path = _paths().get(request.url.path)
    if path is None or request.method != "GET" or "range" in request.headers:
        return None
    try:
        kept = _kept(path, path.stat().st_mtime_ns)
    except OSError:  # it was there when the server started
        return None
    is_versioned = "v=" in request.url.query
    headers = kept.headers | {"Cache-Control": cache_control(is_versioned=is_versioned)}
    if is_named(kept.headers["ETag"], request.headers.get("if-none-match", "")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if kept.gzip is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(kept.gzip, headers=headers | {"Content-Encoding": "gzip"})
    return Response(kept.body, headers=headers)


def cache_control(*, is_versioned: bool) -> str:
    """Let browsers keep for good what an address with its content's hash names, and ask again for the rest."""
    return f"public, max-age={YEAR_SECONDS}, immutable" if is_versioned else "no-cache"
