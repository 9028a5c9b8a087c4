"""A little OpenID provider on loopback, which says whatever a test wants it to say."""

import base64
import hashlib
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import uvicorn
from fastapi import FastAPI, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

Sent = Annotated[str, Form()]
CLIENT_ID, CLIENT_SECRET = "temper", "the secret of the client, long enough for HS256"


@dataclass
class FakeProvider:
    """What it says, and what was asked of it."""

    url: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "7", "email": "ada@example.org"})
    claims: dict[str, Any] = field(default_factory=lambda: {"email_verified": True})
    """Put over what the token would say; None takes a claim away."""
    metadata: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    user_info: dict[str, Any] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    """Endpoints that answer 500."""
    asked: dict[str, dict[str, str]] = field(default_factory=dict)
    """What each code was given out for."""

    def token_for(self, nonce: str) -> str:
        """Return an identity token, as it is signed here."""
        now = int(time.time())
        said = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": nonce}
        claims = {name: value for name, value in (said | self.person | self.claims).items() if value is not None}
        if self.algorithm == "none":
            parts = [base64.urlsafe_b64encode(text).rstrip(b"=") for text in (b'{"alg":"none"}', _json(claims))]
            return b".".join([*parts, b""]).decode()
        if self.algorithm == "HS256":
            return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(CLIENT_SECRET), algorithms=["HS256"])
        return jwt.encode({"alg": self.algorithm, "kid": str(self.key.kid)}, claims, self.key)

    def log_in(self, address: str) -> str:
        """Do what a person does who is sent here and says yes; return the address that one is sent back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        code = secrets.token_hex(8)
        self.asked[code] = asked
        return f"{urlsplit(asked['redirect_uri']).path}?code={code}&state={asked['state']}"


def _json(value: object) -> bytes:
    import json

    return json.dumps(value).encode()


def _application(provider: FakeProvider) -> FastAPI:
    app = FastAPI()

    @app.get("/.well-known/openid-configuration")
    def metadata() -> JSONResponse:
        if "metadata" in provider.broken:
            return JSONResponse({}, 500)
        named = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        found = {name: f"{provider.url}/{path}" for name, path in named.items()}
        if provider.user_info:
            found["userinfo_endpoint"] = f"{provider.url}/userinfo"
        return JSONResponse(found | {"issuer": provider.url} | provider.metadata)

    @app.get("/keys")
    def keys() -> JSONResponse:
        return JSONResponse({"keys": [provider.key.as_dict(private=False)]})

    @app.get("/userinfo")
    def user_info(request: Request) -> JSONResponse:
        is_known = request.headers.get("authorization") == "Bearer access"
        return JSONResponse(provider.user_info if is_known else {}, 200 if is_known else 401)

    @app.post("/token", response_model=None)
    def token(request: Request, code: Sent, code_verifier: Sent, redirect_uri: Sent) -> JSONResponse | RedirectResponse:
        known = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()
        asked = provider.asked.pop(code, {})
        is_right = (
            request.headers.get("authorization") == f"Basic {known}"
            and asked.get("code_challenge") == digest
            and asked.get("redirect_uri") == redirect_uri
        )
        if "token" in provider.broken:
            return RedirectResponse("http://127.0.0.1:1/elsewhere")
        if not is_right:
            return JSONResponse({"error": "invalid_grant"}, 400)
        said = {"access_token": "access", "token_type": "Bearer", "id_token": provider.token_for(asked["nonce"])}
        return JSONResponse(said)

    return app


@contextmanager
def serving() -> Iterator[FakeProvider]:
    """Serve a provider on a free port."""
    provider = FakeProvider()
    listener = socket.create_server(("127.0.0.1", 0))
    provider.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(_application(provider), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
