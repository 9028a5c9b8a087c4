"""How the web application is served: whose word counts on where a request comes from."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session, col, select

from app.domain import accounts
from app.domain.audit_models import AuditEntry
from app.domain.login_tries import TRIES
from app.serve import web_config
from tests.conftest import forget_settings

PROXY, ELSEWHERE = "10.2.0.1", "10.3.0.1"
ADA, EVE = "198.51.100.1", "203.0.113.9"
PASSWORD = "correct horse battery"
NAMES = (f"nobody-{number}" for number in count())


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch, home: object) -> None:
    """Trust one proxy."""
    monkeypatch.setenv("TEMPER_TRUSTED_PROXIES", f'["{PROXY}/32"]')
    forget_settings()


@contextmanager
def served_to(peer: str) -> Iterator[TestClient]:
    """Serve who connects from an address."""
    config = web_config()
    config.load()
    with TestClient(config.loaded_app, base_url="http://127.0.0.1", client=(peer, 1), follow_redirects=False) as client:
        yield client


def log_in(client: TestClient, password: str, *, said: str) -> int:
    """Try a password for a new name each time, from where a header says."""
    tried = next(NAMES) if password != PASSWORD else "admin"
    data, headers = {"name": tried, "password": password}, {"X-Forwarded-For": said, "Sec-Fetch-Site": "same-origin"}
    return client.post("/login", data=data, headers=headers).status_code


@pytest.mark.usefixtures("redis_server", "proxies")
def test_a_trusted_proxy_says_where_a_request_comes_from(session: Session) -> None:
    """Who tries passwords behind it locks out the own address alone, and the audit log has that one."""
    accounts.set_password(session, accounts.first_admin(session), PASSWORD)
    session.commit()

    with served_to(PROXY) as client:
        tried = [log_in(client, "wrong", said=EVE) for _ in range(TRIES + 1)]
        let_in = log_in(client, PASSWORD, said=f"{EVE}, {ADA}")  # the first is what a client wrote itself

    assert (tried[-1], let_in) == (429, 303)
    addresses = session.exec(select(AuditEntry.address).order_by(col(AuditEntry.id))).all()
    assert list(addresses) == [EVE] * (TRIES + 1) + [ADA]


@pytest.mark.usefixtures("redis_server", "proxies")
def test_nobody_else_says_where_a_request_comes_from(session: Session) -> None:
    """A client that writes itself a new address each time is one client."""
    accounts.set_password(session, accounts.first_admin(session), PASSWORD)
    session.commit()

    with served_to(ELSEWHERE) as client:
        tried = [log_in(client, "wrong", said=f"198.51.100.{number}") for number in range(TRIES + 1)]

    assert tried[-1] == 429
    assert set(session.exec(select(AuditEntry.address)).all()) == {ELSEWHERE}


@pytest.mark.usefixtures("redis_server", "proxies")
def test_a_proxy_that_speaks_tls_is_what_links_begin_with(session: Session) -> None:
    """Whoever is invited comes by it as well."""
    token = accounts.create_token(session, accounts.first_admin(session), name="t")
    session.commit()
    headers = {"X-Forwarded-For": ADA, "X-Forwarded-Proto": "https", "Authorization": f"Bearer {token}"}

    with served_to(PROXY) as client:
        made = client.post("/api/v1/users", json={"name": "ada", "role": "viewer"}, headers=headers).json()

    assert made["link"].startswith("https://127.0.0.1/login/")


@pytest.mark.usefixtures("home")
def test_without_the_setting_no_proxy_is_trusted() -> None:
    """Not even one on this machine."""
    assert web_config().proxy_headers is False
