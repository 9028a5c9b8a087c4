"""
Write `docs/settings.md` out of `app/config.py`: `python -m tests.settings_page`.

The class is the one place where a setting is described; a test holds the page to it.
"""

import re
from pathlib import Path

from app.config import Settings

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "settings.md"
HEAD = """# Settings

Every knob of Temper is a variable of the environment, or a line of a `.env` file in the folder
that Temper is started from. A value that cannot be used stops the start and is named.

This page is written from `app/config.py` by `python -m tests.settings_page`.
"""


def settings_page() -> str:
    """Return the page, in the order and under the headings of the class."""
    parts = [HEAD]
    source = (ROOT / "app" / "config.py").read_text("utf-8")
    for heading, name in re.findall(r"^    (?:# ([A-Z].*)|([a-z_]+): .*)$", source, re.MULTILINE):
        if heading:
            parts.append(f"## {heading}\n")
        elif name in Settings.model_fields:
            parts.append(_entry(name))
    return "\n".join(parts)


def _entry(name: str) -> str:
    field = Settings.model_fields[name]
    default = str(field.default).replace(str(Path.home()), "~")
    if isinstance(field.default, tuple):
        default = "[" + ", ".join(f'"{value}"' for value in field.default) + "]"
    shown = f"`{default}`" if default not in {"None", ""} else "empty"
    return f"**`TEMPER_{name.upper()}`**, default {shown}<br>\n{field.description}\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(settings_page(), "utf-8")
