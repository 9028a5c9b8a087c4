"""
The sentences of each language, read from its `.po` file: there is nothing to compile.

English is in the code. A page says which language it speaks by `app/web/i18n.py`; who writes to people
outside of a page names it.
"""

import gettext
import io
from enum import Enum
from functools import cache
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from app.domain.messages import Message

LOCALE_FOLDER = Path(__file__).resolve().parents[1] / "locale"
LANGUAGES = {"en": "English", "zh": "中文"}
SPACES = {"en": " ", "zh": ""}


@cache
def catalogue(code: str) -> gettext.NullTranslations:
    """Read a language's catalogue; one that has no file yet leaves every sentence in English."""
    path = LOCALE_FOLDER / code / "LC_MESSAGES" / "temper.po"
    if not path.exists():
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=code))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def say(text: Message, language: str) -> str:
    """Return a message in a language."""
    values = {name: _value(value, language) for name, value in text.values.items()}
    return catalogue(language).gettext(text.template).format(**values)


def _value(value: object, language: str) -> object:
    if isinstance(value, Message):
        return say(value, language)
    return catalogue(language).gettext(str(value.value)) if isinstance(value, Enum) else value
