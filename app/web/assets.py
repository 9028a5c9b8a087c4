"""
What a page loads: our own files with a hash of their content in the address, and htmx.

htmx comes from its CDN with an integrity hash, and from `static/vendor/` (the same bytes) when
the CDN does not answer; `static/loader.js` decides in the browser.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATIC_FOLDER = ROOT / "static"
TEMPLATES_FOLDER = ROOT / "templates"

HTMX_VERSION = "4.0.1"
CDN_ORIGIN = "https://cdn.jsdelivr.net"
HASH_LENGTH = 12  # hex digits; enough to tell two versions of one file apart


@dataclass(frozen=True)
class VendoredScript:
    """A script that a CDN serves too."""

    file: str
    """Name in `static/vendor/`."""
    package_path: str
    sha384: str

    @property
    def cdn_url(self) -> str:
        """Address of the same bytes on the CDN."""
        return f"{CDN_ORIGIN}/npm/htmx.org@{HTMX_VERSION}/{self.package_path}"

    @property
    def integrity(self) -> str:
        """Value of the `integrity` attribute."""
        return f"sha384-{self.sha384}"


VENDORED = (
    VendoredScript(
        file="htmx.min.js",
        package_path="dist/htmx.min.js",
        sha384="Qp9rdC8H7EqOoX+nR0P3RPG2Noji+qdwJlGpfzwQJsfOpp3sGwIdSP9xO3+UlEhn",
    ),
    VendoredScript(
        file="hx-sse.min.js",
        package_path="dist/ext/hx-sse.min.js",
        sha384="v8HvucQ+ohQhMg0arboXc5049yNR46QKMjphs7YDch+Wm7zpfK5XVS01f26mQDJV",
    ),
)


def static_url(path: str) -> str:
    """Return the address of a file in `static/`, which changes with its content."""
    return f"/static/{path}?v={_content_hash(path, (STATIC_FOLDER / path).stat().st_mtime_ns)}"


@cache
def _content_hash(path: str, _changed_at: int) -> str:
    return hashlib.sha256((STATIC_FOLDER / path).read_bytes()).hexdigest()[:HASH_LENGTH]


def loader_list() -> str:
    """Return what `static/loader.js` needs to know of each script, as JSON."""
    return json.dumps(
        [
            {"cdn": script.cdn_url, "integrity": script.integrity, "local": static_url(f"vendor/{script.file}")}
            for script in VENDORED
        ]
    )
