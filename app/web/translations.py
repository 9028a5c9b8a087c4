"""
The catalogues' upkeep: `python -m app.web.translations update` and `check`.

`update` collects every sentence of the code and the templates into `app/locale/*/…/temper.po`
and keeps the translations that are there. `check` fails when one is missing, is no longer used,
or has other places to fill than its English.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from app.domain.catalogues import LANGUAGES, LOCALE_FOLDER
from app.web.assets import ROOT
from app.web.i18n import DEFAULT

METHODS = [("app/**.py", "python"), ("worker/**.py", "python"), ("templates/**.html", "jinja2")]
OPTIONS = {"templates/**.html": {"extensions": "jinja2.ext.i18n,jinja2.ext.do", "silent": "false"}}
KEYWORDS = {"_": None, "gettext": None, "N_": None, "message": None, "ngettext": (1, 2)}
FOLDERS = frozenset({"app", "worker", "templates"})
PLACES = re.compile(r"%\((\w+)\)|(?<!\{)\{(\w+)\}")


def collect() -> Catalog:
    """Collect the sentences of the whole project."""
    catalog = Catalog()
    found = extract_from_dir(
        ROOT, METHODS, OPTIONS, KEYWORDS, comment_tags=(), directory_filter=lambda folder: _is_ours(Path(folder))
    )
    for file, _line, text, _comments, context in found:
        catalog.add(text, locations=[(file, 0)], context=context)
    return catalog


def _is_ours(folder: Path) -> bool:
    parts = folder.relative_to(ROOT).parts
    return not parts or parts[0] in FOLDERS


def path_of(language: str) -> Path:
    """Return a language's catalogue."""
    return LOCALE_FOLDER / language / "LC_MESSAGES" / "temper.po"


def read(language: str) -> Catalog:
    """Read a language's catalogue; an empty one when there is none yet."""
    path = path_of(language)
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def update() -> None:
    """Write every catalogue anew with the sentences that are in use."""
    for language in LANGUAGES:
        if language == DEFAULT:
            continue
        catalog = read(language)
        catalog.update(collect(), no_fuzzy_matching=True)
        catalog.obsolete.clear()
        write(language, catalog)


def write(language: str, catalog: Catalog) -> None:
    """Write a language's catalogue without the dates and line numbers that would change with every update."""
    path_of(language).parent.mkdir(parents=True, exist_ok=True)
    with path_of(language).open("wb") as file:
        write_po(file, catalog, width=110, omit_header=True, sort_by_file=True, include_lineno=False)


def problems() -> Iterator[str]:
    """Yield what is wrong with the catalogues, one line each."""
    used = collect()
    for language in LANGUAGES:
        if language == DEFAULT:
            continue
        catalog = read(language)
        for message in used:
            if message.id:
                yield from _problems_of(language, message, catalog.get(message.id, message.context))
        for message in catalog:
            if message.id and message.id not in used:
                yield f"{language}: no longer used: {message.id!r}"


def _problems_of(language: str, used: Message, translated: Message | None) -> Iterator[str]:
    given = texts(translated.string) if translated is not None else ()
    if not given or not all(given):
        yield f"{language}: not translated: {used.id!r}"
        return
    wanted = set.union(*(_places(text) for text in texts(used.id)))
    for text in given:
        if not _places(text) <= wanted or (wanted - {"num"}) - _places(text):
            yield f"{language}: other places than the English: {used.id!r} -> {text!r}"


def texts(text: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    """Return a translation's text, or those of its plural forms."""
    return (text or "",) if text is None or isinstance(text, str) else tuple(text)


def _places(text: str) -> set[str]:
    return {first or second for first, second in PLACES.findall(text)}


def main(arguments: list[str]) -> int:
    """Update the catalogues, or check them."""
    if arguments == ["update"]:
        update()
        return 0
    found = list(problems())
    print("\n".join(found) or "every sentence is translated")  # noqa: T201 - a command's output
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
