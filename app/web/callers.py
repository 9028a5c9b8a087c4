"""Who makes a request, by the secret that comes with it."""

from fastapi import Request

from app.domain import accounts, db, tokens
from app.domain.accounts import Caller, CredentialKind
from app.domain.messages import Message, message
from app.web.cookies import cookie_name, login_lifetime
from app.web.known_callers import known_callers

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
API_PREFIX = "/api/"
STATIC_PREFIX = "/static/"


def find_caller(request: Request) -> Caller | None:
    """
    Return who is calling.

    The API takes a token. It takes a browser's session too, to read only: a page links to
    downloads and data, while a change needs a secret that a browser never sends by itself.
    """
    held = _secret_of(request)
    if held is None:
        return None
    caller, is_renewed = known_callers().find(*held, _known)
    request.state.is_login_renewed = is_renewed and held[0] is CredentialKind.SESSION
    return caller


def why_unknown(request: Request) -> Message:
    """Return what to tell whom nobody knows."""
    kind, secret = _secret_of(request) or (CredentialKind.SESSION, "")
    if kind is not CredentialKind.TOKEN:
        return message("Log in, or send an API token: Authorization: Bearer …")
    with db.reading() as session:
        return tokens.why_refused(session, secret)


def is_known(request: Request) -> bool:
    """Whether `find_caller` has nothing to look up: then it may be asked where nothing may wait."""
    held = _secret_of(request)
    return held is None or known_callers().is_trusted(*held)


def _secret_of(request: Request) -> tuple[CredentialKind, str] | None:
    """Return the secret that a request is judged by, and its kind."""
    if request.url.path.startswith(STATIC_PREFIX):  # kept by caches that many readers share: no cookie may go with it
        return None
    is_of_api = request.url.path.startswith(API_PREFIX)
    token = _bearer(request) if is_of_api else None
    if token is not None:
        return CredentialKind.TOKEN, token
    cookie = request.cookies.get(cookie_name(request))
    if cookie is None or (is_of_api and request.method not in SAFE_METHODS):
        return None
    return CredentialKind.SESSION, cookie


def address_of(request: Request) -> str:
    """Return where a request comes from; of one that a proxy passes on whom nobody trusts, the proxy's address."""
    return request.client.host if request.client else ""


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _known(kind: CredentialKind, secret: str) -> tuple[Caller | None, bool]:
    """Return who holds a secret, and whether its time was lengthened."""
    with db.reading() as session:
        caller = accounts.find_caller(session, kind, secret)
        is_due = caller is not None and accounts.is_renewal_due(session, caller.credential_id)
    if caller is not None and is_due:
        with db.unit_of_work() as session:
            if kind is CredentialKind.SESSION:
                accounts.renew_login(session, caller.credential_id, lifetime=login_lifetime())
            else:
                accounts.note_use(session, caller.credential_id)
    return caller, is_due
