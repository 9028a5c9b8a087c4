"""
Templates: the one environment, and the one place that decides between a page and a fragment.

A page's context is a frozen dataclass; its fields and properties are the template's variables and
nothing else is, so a name that is missing fails at once.
"""

import time
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.config import settings
from app.domain.catalogues import LANGUAGES
from app.domain.columns import utc_now
from app.web import assets, formats, i18n, workers

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
else:
    DataclassInstance = Any

FIRST_COMPILED = ("base.html", "macros/", "runs/", "compare/")
FILTERS = {
    "age": formats.age,
    "ago": formats.ago,
    "hours_ago": formats.hours_ago,
    "bytes": formats.size,
    "clock": formats.clock,
    "duration": formats.duration,
    "lang_of": formats.language_of_text,
    "number": formats.number,
    "percent": formats.percent,
    "rate": formats.rate,
    "scientific": formats.scientific,
    "t": i18n.translate,
}


@cache
def environment() -> Environment:
    """Build the template environment."""
    env = Environment(
        loader=FileSystemLoader(assets.TEMPLATES_FOLDER),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    env.install_gettext_callables(i18n.gettext, i18n.plural, newstyle=True)  # type: ignore[attr-defined]
    env.filters.update(FILTERS)
    env.globals.update(
        comma=i18n.comma,
        space=i18n.space,
        static=assets.static_url,
        heat=formats.heat,
        language=i18n.language,
        languages=LANGUAGES,
        now=utc_now,
        loader_list=assets.loader_list,
        settings=settings,
        workers_line=workers.workers_line,
    )
    return env


def compile_templates() -> None:
    """
    Compile every template, so that no reader waits for it; those of the pages that are opened first come first.

    Rests twice as long as it works: whoever asks for something meanwhile goes first.
    """
    names = environment().list_templates()
    for name in sorted(names, key=lambda name: not name.startswith(FIRST_COMPILED)):
        began = time.perf_counter()
        environment().get_template(name)
        time.sleep(2 * (time.perf_counter() - began))


def is_fragment(request: Request) -> bool:
    """Whether htmx asks for a part of a page and not for all of it."""
    return request.headers.get("hx-request-type") == "partial"


def render(
    request: Request,
    template: str,
    context: DataclassInstance,
    status_code: int = 200,
    *,
    partial: str | None = None,
) -> HTMLResponse:
    """
    Render a page.

    Args:
        partial: the template to render instead when htmx asks for a part of the page only.
    """
    name = partial if partial is not None and is_fragment(request) else template
    html = render_text(request, name, context)
    headers = {"Vary": "HX-Request-Type, Cookie, Accept-Language"}
    return HTMLResponse(html, status_code=status_code, headers=headers)


def render_text(request: Request, template: str, context: DataclassInstance) -> str:
    """Render a template to text: a part of an answer that is put together elsewhere."""
    values = {name: getattr(context, name) for name in names_of(type(context))}
    user = getattr(request.state, "shown_to", None) or getattr(request.state, "user", None)
    return environment().get_template(template).render(request=request, user=user, **values)


def names_of(context: type[DataclassInstance]) -> list[str]:
    """Return the variables that a page gets from its context: its fields and its properties."""
    properties = [name for name in dir(context) if isinstance(getattr(context, name, None), property)]
    return [field.name for field in fields(context)] + properties
