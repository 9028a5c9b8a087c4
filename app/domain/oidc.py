"""
Logging in by an OpenID provider: what is asked of it, and what of its answer is believed.

Authorization code with PKCE. The identity token must be signed by one of the provider's own
keys, name this server as its audience, be of now, and hold the nonce of this very login. What a
login must come back with is in a signed cookie of the browser that began it, for ten minutes.
Does not cover logging out at the provider: a login here lasts as every other one does.

Source: OpenID Connect Core 1.0, sections 3.1.2 and 3.1.3; RFC 7636; RFC 9700.
"""

import hashlib
import logging
import secrets
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from threading import Lock
from typing import Any, cast

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet, OctKey

from app.config import is_safe_address, settings
from app.domain.errors import AppError
from app.domain.messages import Message, message

log = logging.getLogger(__name__)

# Signatures by a key that the provider alone has: neither `none` nor HS256, whatever its metadata says.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
TIMEOUT_SECONDS = 5.0
LEEWAY_SECONDS = 60  # between the provider's clock and ours
ATTEMPT_SECONDS = 600
KEPT_SECONDS = 600.0  # of what the provider says of itself
PATIENCE_SECONDS = 1.0  # of those who wait while another asks: they must not hold up the whole server
FAILURE_SECONDS = 15.0  # a provider that does not answer is not asked again by everybody at once
COOKIE_ALGORITHM = "HS256"
LONGEST_SUBJECT = 255  # characters, by OpenID Connect Core 1.0, section 2
LONGEST_COOKIE = 3_900  # characters: browsers drop what has more than 4,096 with its name and attributes


class ProviderError(AppError):
    """The provider does not answer, or not as it must."""

    status_code = 502
    kind = "unavailable"


class StaleLoginError(AppError):
    """A login came back to a browser that has not begun it, or too late."""

    status_code = 400
    kind = "bad_request"


@dataclass(frozen=True)
class Attempt:
    """What a login that has begun must come back with, and where its user wanted to go."""

    state: str
    nonce: str
    verifier: str
    next: str


@dataclass(frozen=True)
class Identity:
    """A person, as the provider vouches for them."""

    subject: str
    """The provider's address and its own id of the person: never given to anybody else."""
    claims: Mapping[str, Any]


# ── What the provider says of itself ───────────────────────────────────────


class Provider:
    """One provider: where its endpoints are, and its keys."""

    def __init__(self, issuer: str) -> None:
        """Take a provider by its address; it is asked when something is needed of it."""
        self.issuer = issuer
        self._lock = Lock()
        self._metadata: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._read_at = self._failed_at = float("-inf")

    def metadata(self) -> dict[str, Any]:
        """Return what the provider says of itself; ProviderError when it does not, or says it of another one."""
        if time.monotonic() - self._read_at <= KEPT_SECONDS:
            return self._metadata
        if not self._lock.acquire(timeout=PATIENCE_SECONDS):  # somebody else waits for it already
            raise ProviderError(UNREACHABLE)
        try:
            if time.monotonic() - self._read_at > KEPT_SECONDS:
                self._read()
            return self._metadata
        finally:
            self._lock.release()

    def keys(self, *, anew: bool = False) -> KeySet:
        """Return the keys that the provider signs with."""
        address = self.metadata()["jwks_uri"]
        with self._lock:
            if self._keys is None or anew:
                with _telling("keys"):
                    self._keys = KeySet.import_key_set(cast("Any", _get(address)))  # it looks for itself
            return self._keys

    def _read(self) -> None:
        if time.monotonic() - self._failed_at < FAILURE_SECONDS:
            raise ProviderError(UNREACHABLE)
        self._failed_at = time.monotonic()
        with _telling("metadata"):
            found = _get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self.issuer:
                raise ValueError(f"it calls itself {found.get('issuer')!r}")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                if not is_safe_address(str(found.get(name))):
                    raise ValueError(f"its {name} cannot be used: {found.get(name)!r}")
        self._metadata, self._keys = found, None
        self._read_at, self._failed_at = time.monotonic(), float("-inf")


@lru_cache(maxsize=4)
def provider(issuer: str) -> Provider:
    """Return what is known of a provider."""
    return Provider(issuer)


UNREACHABLE = message("The provider does not answer, or not as it should. Log in another way, or try again later.")
UNBELIEVABLE = message(
    "What the provider says of you does not hold. Its clock or the settings here may be wrong; the server's log says "
    "what it is."
)
STALE = message("This login was not begun in this browser, or more than ten minutes ago. Begin it again.")


UNUSABLE = (
    *(httpx2.HTTPError, httpx2.InvalidURL, OAuthError, JoseError, ValueError, KeyError, TypeError),
    RecursionError,  # JSON that is nested too deep
)


@contextmanager
def _telling(what: str, text: Message = UNREACHABLE) -> Iterator[None]:
    """Turn whatever goes wrong with the provider into one sentence, and say in the log what it was."""
    try:
        yield
    except UNUSABLE as error:
        log.warning("the OpenID provider's %s cannot be used: %s: %s", what, type(error).__name__, error)
        raise ProviderError(text) from error


@cache
def _authorities() -> ssl.SSLContext:
    """Return who is believed to be whom on the network: read once, since that takes longer than a login."""
    return ssl.create_default_context()


def _get(address: str, *, token: str = "") -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    reply = httpx2.get(address, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=False, verify=_authorities())
    if reply.status_code != httpx2.codes.OK:
        raise ValueError(f"{address} answers {reply.status_code}")
    found = reply.json()
    if not isinstance(found, dict):
        raise TypeError(f"{address} answers no JSON object")
    return found


# ── Out to the provider ────────────────────────────────────────────────────


def begin(*, redirect_uri: str, next_page: str) -> tuple[str, str]:
    """Return the provider's address to go to, and the cookie to come back with, which leaves out a page too long."""
    attempt = Attempt(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48), next_page)
    there = provider(settings().oidc_issuer).metadata()["authorization_endpoint"]
    with _client(redirect_uri) as client:
        address, _ = client.create_authorization_url(
            there, state=attempt.state, nonce=attempt.nonce, code_verifier=attempt.verifier
        )
    cookie = _cookie_of(attempt)
    return address, cookie if len(cookie) <= LONGEST_COOKIE else _cookie_of(replace(attempt, next=""))


def _cookie_of(attempt: Attempt) -> str:
    claims = asdict(attempt) | {"exp": int(time.time()) + ATTEMPT_SECONDS}
    return jwt.encode({"alg": COOKIE_ALGORITHM}, claims, _cookie_key())


def _client(redirect_uri: str) -> OAuth2Client:
    known = settings()
    secret = known.oidc_client_secret
    return OAuth2Client(
        known.oidc_client_id,
        secret.get_secret_value() if secret else None,
        scope=known.oidc_scopes,
        redirect_uri=redirect_uri,
        code_challenge_method="S256",
        timeout=TIMEOUT_SECONDS,
        verify=_authorities(),
    )


def _cookie_key() -> OctKey:
    secret = settings().oidc_client_secret
    text = f"temper login cookie\0{secret.get_secret_value() if secret else secrets.token_hex()}"
    return OctKey.import_key(hashlib.sha256(text.encode()).digest())


# ── And back ───────────────────────────────────────────────────────────────


def read_attempt(cookie: str, *, state: str) -> Attempt:
    """
    Return the login that a browser has begun.

    Raises:
        StaleLoginError: it has begun none, not the one that comes back, or too long ago.
    """
    try:
        claims = jwt.decode(cookie, _cookie_key(), algorithms=[COOKIE_ALGORITHM]).claims
        jwt.JWTClaimsRegistry(exp={"essential": True}).validate(claims)
        attempt = Attempt(claims["state"], claims["nonce"], claims["verifier"], claims["next"])
    except (JoseError, ValueError, KeyError, TypeError) as error:  # its head is anybody's to write
        raise StaleLoginError(STALE) from error
    if not secrets.compare_digest(attempt.state.encode(), state.encode(errors="surrogateescape")):
        raise StaleLoginError(STALE)
    return attempt


def finish(attempt: Attempt, *, code: str, redirect_uri: str) -> Identity:
    """
    Give the provider its code back and return whom it vouches for.

    Raises:
        ProviderError: it does not answer, or what it says cannot be believed.
    """
    there = provider(settings().oidc_issuer)
    metadata = there.metadata()
    with _telling("answer to a code"), _client(redirect_uri) as client:
        token = client.fetch_token(
            metadata["token_endpoint"], grant_type="authorization_code", code=code, code_verifier=attempt.verifier
        )
    with _telling("identity token", UNBELIEVABLE):
        claims = _checked_claims(there, token, nonce=attempt.nonce)
        claims = _with_user_info(metadata, token, claims)
    return Identity(f"{there.issuer} {claims['sub']}", claims)


def _checked_claims(there: Provider, token: Mapping[str, Any], *, nonce: str) -> dict[str, Any]:
    encoded = str(token["id_token"])
    try:
        decoded = jwt.decode(encoded, there.keys(), algorithms=ALGORITHMS)
    except InvalidKeyIdError:  # the provider has new keys
        decoded = jwt.decode(encoded, there.keys(anew=True), algorithms=ALGORITHMS)
    mine = settings().oidc_client_id
    wanted = {"iss": {"essential": True, "value": there.issuer}, "aud": {"essential": True, "value": mine}}
    known = {"nonce": nonce, "client_id": mine, "access_token": token.get("access_token")}
    claims = CodeIDToken(decoded.claims, decoded.header, wanted, known)
    claims.validate(leeway=LEEWAY_SECONDS)
    subject = claims["sub"]
    if not (isinstance(subject, str) and 0 < len(subject) <= LONGEST_SUBJECT and subject.isprintable()):
        raise ValueError("it names nobody")
    return dict(claims)


def _with_user_info(metadata: Mapping[str, Any], token: Mapping[str, Any], claims: dict[str, Any]) -> dict[str, Any]:
    """Add what the provider tells only when it is asked; what the signed token says wins."""
    wanted = {settings().oidc_name_claim, settings().oidc_role_claim} - {""}
    address = str(metadata.get("userinfo_endpoint", ""))
    if wanted <= claims.keys() or not is_safe_address(address):
        return claims
    more = _get(address, token=str(token.get("access_token", "")))
    if more.get("sub") != claims["sub"]:
        raise ValueError("its user info is of somebody else")
    return more | claims
