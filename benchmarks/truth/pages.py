"""The page that the tables of what was measured stand in."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "forecast.md"


@dataclass(frozen=True)
class Table:
    """A table, and whether a number in it is out of its bound."""

    text: str
    is_off: bool


def write_page(name: str, text: str) -> None:
    """Put a table between its two marks of the page."""
    begin, end = f"<!-- {name}: measured -->\n", f"<!-- end of {name} -->"
    before, begins, rest = PAGE.read_text("utf-8").partition(begin)
    _, ends, after = rest.partition(end)
    if not (begins and ends):
        raise SystemExit(f"{PAGE} has no place for the table: {begin.strip()} ... {end}")
    PAGE.write_text(f"{before}{begin}{text}{end}{after}", "utf-8")
