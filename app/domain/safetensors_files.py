"""
The header of a safetensors file, checked before anything maps the file: its length, and where each tensor lies.

Source:
    The safetensors format: eight bytes of length, little-endian, then so much JSON, then the numbers.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MAX_HEADER_BYTES = 100_000_000  # the limit of the format itself
LENGTH_BYTES = 8
METADATA = "__metadata__"


def read_header(path: Path) -> dict[str, dict[str, Any]]:
    """
    Return what a file says of its tensors, by name.

    Raises:
        ValueError: it is not a safetensors file, or a tensor lies outside of it or over another one.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(LENGTH_BYTES)
        if len(head) < LENGTH_BYTES:
            raise ValueError("the file is shorter than its length")
        (length,) = struct.unpack("<Q", head)
        room = size - LENGTH_BYTES - length
        if length > MAX_HEADER_BYTES or room < 0:
            raise ValueError(f"the header is said to have {length} bytes")
        try:
            tensors = json.loads(file.read(length))
        except RecursionError:
            raise ValueError("the header is nested too deeply") from None
    if not isinstance(tensors, dict):
        raise ValueError("the header is no object")  # noqa: TRY004 - as for any other bad file
    tensors.pop(METADATA, None)
    _check_places(tensors, room)
    return tensors


def _check_places(tensors: Mapping[str, Any], room: int) -> None:
    last, named = 0, ""
    for begin, end, name in sorted(_places(tensors)):
        if not 0 <= begin <= end <= room:
            raise ValueError(f"{name} lies outside of the file")
        if begin < last:
            raise ValueError(f"{name} lies over {named}")
        last, named = max(last, end), name


def _places(tensors: Mapping[str, Any]) -> Iterator[tuple[int, int, str]]:
    for name, tensor in tensors.items():
        try:
            begin, end = tensor["data_offsets"]
            numbers = [begin, end, *tensor["shape"]]
        except (TypeError, KeyError, ValueError):
            raise ValueError(f"{name} has no place or no shape") from None
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError(f"{name} has a place or a shape that is no number")
        yield begin, end, name
