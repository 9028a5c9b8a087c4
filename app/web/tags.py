"""Tags of contents: what `ETag` holds, and whether a header names it."""

import hashlib

TAG_DIGITS = 32  # of a SHA-256: no two contents that anybody ever compares share them


def tag_of(body: bytes) -> str:
    """Return the tag of a content, before it is compressed for whoever takes that."""
    return f'"{hashlib.sha256(body).hexdigest()[:TAG_DIGITS]}"'


def is_named(tag: str, header: str) -> bool:
    """Whether a header `If-Match` or `If-None-Match` names a tag, or any."""
    named = {each.strip().removeprefix("W/") for each in header.split(",")}
    return bool(named & {tag.removeprefix("W/"), "*"})
