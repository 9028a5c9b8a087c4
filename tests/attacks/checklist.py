"""
The checklist of attacks in words, and its table in docs/security.md: `python -m tests.attacks.checklist` renews it.

What became of each guard when it was removed is read from what `make security` left in build/mutations.txt;
without that, the table keeps what it says.
"""

import re
from collections import defaultdict

from tests.attacks.mutations import ROOT, guards, tests_of

PAGE = ROOT / "docs" / "security.md"
RESULTS = ROOT / "build" / "mutations.txt"
MARKS = ("<!-- attacks -->\n", "<!-- /attacks -->\n")
ATTACKS = {
    1: "Any route without a cookie or token",
    2: "A stream without a login; a login that ends meanwhile",
    3: "Listening to other machines without a password",
    4: "An empty, one-letter or default password",
    5: "100 wrong logins; telling who exists",
    6: "A form of another site that starts, stops, deletes",
    7: "PUT, PATCH, DELETE from another site, forged headers",
    8: "Another host name (DNS rebinding)",
    9: "`Origin: null` or none, with a cookie",
    10: "A preflight of another origin",
    11: "Temper in another page's frame",
    12: "A run's name of script and template signs",
    13: "A model's answer of script, links and images",
    14: "Answers and logs of escape codes, NUL, 1 MB lines",
    15: "Rows of data with HTML and templates",
    16: "A name that a shell would carry out",
    17: "A value that begins like an option",
    18: "`--cfg-options` through any field",
    19: "`../`, encoded, absolute and overlong paths",
    20: "A link in a run's folder that leads out",
    21: "A dataset at /proc, /dev, a pipe",
    22: "10 GB, a million parts, a slow body",
    23: "A zip bomb, an archive with `../`",
    24: "`.py`, `.pkl`, `.pth` as a dataset",
    25: "JSON Lines that no reader likes",
    26: "A checkpoint whose pickle runs code",
    27: "A checkpoint whose config runs code",
    28: "A checkpoint in torch's oldest form",
    29: "A model's folder with code in it",
    30: "A chat template that reaches for the inside",
    31: "Weights whose header lies",
    32: "A Python config from a user",
    33: "Text that ends a literal of the config",
    34: "A system text with braces",
    35: "An answer that looks like a log line",
    36: "NaN, infinite and absurd settings",
    37: "A GPU that is none",
    38: "Ids too large, negative, of another spelling",
    39: "SQL in a search, an order, a page's size",
    40: "Patterns and addresses that take for ever",
    41: "A webhook to an address inside",
    42: "10,000 ranges of a file",
    43: "A file name that ends a header",
    44: "Tokens of other services, anywhere",
    45: "A queue without a password; a pickled task",
    46: "Messages of somebody else, unknown, 10 MB",
    47: "The same launch, stop or deletion twice at once",
    48: "1,000 streams, 10,000 runs, debug pages, tracebacks",
}


def table() -> str:
    """Return the table: each attack with the tests that carry it out, and its guards with what their removal did."""
    results = read_results()
    of_row = defaultdict(list)
    for guard in guards():
        of_row[guard.row].append(guard)
    lines = ["| # | attack | tests | guards | removed |", "| --- | --- | --- | --- | --- |"]
    for row, words in ATTACKS.items():
        tests = ", ".join(f"`{name.removeprefix('tests/').replace('attacks/', '')}`" for name in tests_of(row))
        files = ", ".join(dict.fromkeys(f"`{guard.file}`" for guard in of_row[row]))
        said = results.get(row, []) or ["not measured yet"]
        lines.append(f"| {row} | {words} | {tests or 'none yet'} | {files or 'none yet'} | {', '.join(said)} |")
    return "\n".join(lines) + "\n"


def read_results() -> dict[int, list[str]]:
    """Return what each guard's removal did, by row, in the order of the table."""
    found: dict[int, list[str]] = defaultdict(list)
    for line in RESULTS.read_text("utf-8").splitlines() if RESULTS.exists() else ():
        row, said = int(line[:3]), re.search(r"(fails \(\d+\)|STILL PASSES|ERROR.*)$", line)
        found[row].append(said[1].replace("|", "\\|") if said else "?")
    return found


def renewed(page: str) -> str:
    """Return the page with its table made anew."""
    before, _, rest = page.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return before + MARKS[0] + table() + MARKS[1] + after


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")
