"""How much one caller may have going at a time."""

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session, select

from app.config import settings
from app.domain.errors import TooManyError
from app.domain.models import Run
from app.web import limits, request_limit
from tests.conftest import forget_settings
from tests.factories import make_model, make_recipe_data, make_run


def test_places_are_each_callers_own_and_come_back() -> None:
    """One who has none left takes nobody else's; what has ended is free again, whatever ended it."""
    places = limits.Places()

    with places.taken(1, most=1), places.taken(2, most=1):
        with pytest.raises(TooManyError), places.taken(1, most=1):
            pass
        with pytest.raises(TooManyError, match="no place left"), places.taken(3, most=1, most_in_all=2):
            pass
    with pytest.raises(RuntimeError), places.taken(1, most=1):
        raise RuntimeError

    assert not places.taken_by


@pytest.mark.parametrize(("path", "is_api"), [("/api/v1/presets", True), ("/models", False)])
def test_requests_of_one_user_are_bounded(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch, *, path: str, is_api: bool
) -> None:
    """The next one is a 429 with `Retry-After`, as JSON or as a page; one that has ended counts no more."""
    places = limits.Places()
    places.taken_by[1] = settings().requests_per_user
    monkeypatch.setattr(request_limit, "requests", places)

    full = client.get(path)
    places.taken_by[1] -= 1
    free = [client.get(path).status_code for _ in range(2)]

    assert full.status_code == 429
    assert int(full.headers["retry-after"]) > 0
    assert full.headers["content-type"].startswith("application/json" if is_api else "text/html")
    assert full.headers["content-security-policy"]
    assert free == [200, 200]


def test_what_waits_is_bounded(api: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run too many is refused, a sweep whole; whoever stops one has room again."""
    make_model(session)
    first = make_run(session)
    monkeypatch.setenv("TEMPER_QUEUED_RUNS", "2")
    forget_settings()
    axes = [{"setting": "mix.identity_count", "values": [1, 2]}]
    sweep = {"name": "a", "recipe": make_recipe_data(), "axes": axes}

    together = api.post("/api/v1/sweeps", json=sweep)
    fits = api.post("/api/v1/runs", json=make_recipe_data())
    full = api.post("/api/v1/runs", json=make_recipe_data())
    api.post(f"/api/v1/runs/{first.id}/stop")

    assert (together.status_code, fits.status_code, full.status_code) == (429, 201, 429)
    assert full.json()["error"]["message"].startswith("2 runs wait already")
    assert len(session.exec(select(Run)).all()) == 2
    assert api.post("/api/v1/runs", json=make_recipe_data()).status_code == 201
