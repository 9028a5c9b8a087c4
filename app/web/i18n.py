"""
Languages: which one a reader gets, and the sentences in it.

English is in the code; `app/domain/catalogues.py` reads the others. The language of the request in
hand is in a context variable that `LanguageMiddleware` sets, so that neither routes nor templates
pass it around.
"""

from contextvars import ContextVar
from enum import Enum
from http.cookies import CookieError, SimpleCookie
from typing import Annotated

from babel import negotiate_locale
from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.config import settings
from app.domain.catalogues import LANGUAGES, SPACES, catalogue
from app.domain.messages import N_, Message
from app.web.addresses import path_on_this_server

COMMAS = {"en": ", ", "zh": "，"}
DEFAULT = "en"
COOKIE = "language"
COOKIE_SECONDS = 365 * 24 * 3600

WORDS = (
    *(N_("viewer"), N_("runner"), N_("admin")),
    *(N_("cosine"), N_("linear"), N_("constant")),
    *(N_("queued"), N_("running"), N_("finished"), N_("failed"), N_("cancelled")),
    *(N_("done"), N_("refused")),
    *(N_("identity"), N_("near-miss"), N_("general")),
)
"""Words of the domain's enums, which pages translate by their value."""

router = APIRouter(include_in_schema=False)
_language: ContextVar[str] = ContextVar("language", default=DEFAULT)


def language() -> str:
    """Return the language of the request in hand."""
    return _language.get()


def gettext(text: str, **values: object) -> str:
    """Translate a sentence, then fill its `%(name)s` places."""
    translated = catalogue(language()).gettext(text) if text else ""
    return translated % values if values else translated


def ngettext(one: str, many: str, count: int, **values: object) -> str:
    """Translate a sentence that has a number in it; `%(num)s` is the number."""
    return plural(one, many, count) % {"num": count, **values}


def comma() -> str:
    """Return what stands between two facts of one line; names in a list have a mark of their own."""
    return COMMAS[language()]


def space() -> str:
    """Return what stands between two sentences: nothing where the full stop brings its own room."""
    return SPACES[language()]


def plural(one: str, many: str, count: int) -> str:
    """Translate the form of a sentence that fits a number, and leave its places open."""
    return catalogue(language()).ngettext(one, many, count)


def translate(text: Message | str) -> str:
    """Translate a message of the domain, or a text that the domain marked with `N_`."""
    if isinstance(text, str):
        return gettext(text)
    return gettext(text.template).format(**{name: _translate_value(value) for name, value in text.values.items()})


def _translate_value(value: object) -> object:
    if isinstance(value, Message):
        return translate(value)
    return gettext(str(value.value)) if isinstance(value, Enum) else value


class LanguageMiddleware:
    """Set the language of each request: the reader's choice, else the browser's, else English."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an ASGI application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the language and go on; it stays set, because error pages are made further out."""
        if scope["type"] == "http":
            _language.set(language_of(Headers(scope=scope)))
        await self.app(scope, receive, send)


def language_of(headers: Headers) -> str:
    """Choose a language for a request."""
    chosen = _cookie(headers.get("cookie", ""))
    if chosen in LANGUAGES:
        return chosen
    return negotiate_locale(_accepted(headers.get("accept-language", "")), LANGUAGES, sep="-") or DEFAULT


def _cookie(header: str) -> str:
    try:
        cookies: SimpleCookie = SimpleCookie(header)
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def _accepted(header: str) -> list[str]:
    """Return the languages of an Accept-Language header, the best first, each also without its region."""
    weighted: list[tuple[float, str]] = []
    for part in header.split(","):
        name, _, weight = part.strip().partition(";q=")
        try:
            weighted.append((float(weight or 1), name))
        except ValueError:
            continue
    best_first = [name for _, name in sorted(weighted, key=lambda pair: -pair[0])]
    return [form for name in best_first for form in (name, name.split("-")[0])]


@router.post("/language", name="language.choose")
def choose(language: Annotated[str, Form()], back: Annotated[str, Form()] = "/") -> RedirectResponse:
    """Remember a language and go back to the page it was chosen on."""
    reply = RedirectResponse(path_on_this_server(back), status_code=303)
    remember(reply, language)
    return reply


def remember(reply: Response, code: str) -> None:
    """Send a reader's choice along, for the pages to come; what is no language of ours changes nothing."""
    if code in LANGUAGES:
        secure = settings().secure_cookies
        reply.set_cookie(COOKIE, code, max_age=COOKIE_SECONDS, samesite="lax", httponly=True, secure=secure)


def speak(code: str) -> None:
    """Answer the request in hand in another language, if it is one of ours."""
    if code in LANGUAGES:
        _language.set(code)
