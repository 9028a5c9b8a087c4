"""What all requests and answers of the API have in common."""

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.api.errors import ErrorKind
from app.api.exchange import is_accepted
from app.domain import errors
from app.domain.messages import message
from app.domain.models import RunState
from app.web.tags import is_named
from tests.factories import make_checkpoint, make_recipe_data, make_run

RUNS = "/api/v1/runs"


def read_paths(run_id: int | None) -> list[str]:
    """Return paths of one object, of lists and of text."""
    of_run = ("", "/metrics", "/checkpoints", "/answers", "/probes", "/log", "/config")
    lists = ("/runs", "/models", "/presets", "/verdicts", "/sweeps", "/datasets", f"/compare?runs={run_id}&format=csv")
    return [f"{RUNS}/{run_id}{end}" for end in of_run] + [f"/api/v1{path}" for path in lists]


def test_what_is_known_is_not_sent_again(api: TestClient, session: Session) -> None:
    """Every answer has a tag, and who names it gets a 304 without a body."""
    run = make_run(session, state=RunState.FINISHED)
    make_checkpoint(session, run, iteration=0)

    for path in read_paths(run.id):
        tag = api.get(path).headers["etag"]
        again = api.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), path
        assert api.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_tag_is_of_the_content(api: TestClient, session: Session) -> None:
    """It changes with it, and with nothing else."""
    run = make_run(session)
    path = f"{RUNS}/{run.id}"

    first, second = (api.get(path).headers["etag"] for _ in range(2))
    api.post(f"{path}/stop")

    assert first == second != api.get(path).headers["etag"]


def test_a_change_of_what_has_changed_is_refused(api: TestClient, session: Session) -> None:
    """Thresholds, the queue and a sweep are changed only as they were seen, where the caller says so."""
    waiting = [make_run(session) for _ in range(3)]
    path = f"{RUNS}/{waiting[2].id}"
    seen = {"If-Match": api.get(path).headers["etag"]}

    moved = api.post(f"{path}/queue", params={"place": 2}, headers=seen)
    again = api.post(f"{path}/queue", params={"place": 1}, headers=seen)

    assert (moved.status_code, moved.json()["place"]) == (200, 2)
    assert (again.status_code, again.json()["error"]["kind"]) == (412, "precondition_failed")
    assert api.get(path).json()["place"] == 2

    thresholds = "/api/v1/verdicts"
    seen = {"If-Match": api.get(thresholds).headers["etag"]}
    assert api.put(thresholds, json={"identity_hit": 0.8}, headers=seen).status_code == 200
    assert api.put(thresholds, json={}, headers=seen).status_code == 412
    assert api.put(thresholds, json={}).status_code == 200


@pytest.mark.parametrize(
    ("accept", "is_taken"),
    [("", True), ("*/*", True), ("application/json", True), ("application/*;q=0.5", True),
     ("text/html, */*;q=0.1", True), ("text/html", False), ("application/json;q=0", False),
     ("application/json; q=0.000, text/*", False), ("x", False)],
)  # fmt: skip
def test_what_is_accepted_is_sent(api: TestClient, accept: str, is_taken: bool) -> None:
    """And what is not is a 406 that says what there is."""
    reply = api.get("/api/v1/presets", headers={"Accept": accept})

    assert is_accepted("application/json", accept) is is_taken
    assert reply.status_code == (200 if is_taken else 406)
    if not is_taken:
        assert reply.json()["error"]["kind"] == "not_acceptable"
        assert "application/json" in reply.json()["error"]["message"]


def test_tags_are_read_as_they_come() -> None:
    """Weak or not, in a list, or any."""
    assert is_named('"a"', 'W/"a"')
    assert is_named('"a"', '"b", "a"')
    assert is_named('"a"', "*")
    assert not is_named('"a"', '"ab"')
    assert not is_named('"a"', "")


REFUSED: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", "/nothing", {}, 404),
    ("GET", "/runs/999", {}, 404),
    ("DELETE", "/runs", {}, 405),
    ("PATCH", "/models/1", {}, 405),
    ("GET", "/presets", {"headers": {"Accept": "image/png"}}, 406),
    ("POST", "/runs", {"content": b"<recipe/>", "headers": {"Content-Type": "text/xml"}}, 415),
    ("PUT", "/verdicts", {"content": b"{}", "headers": {"Content-Type": ""}}, 415),
    ("POST", "/runs", {"json": {}}, 422),
    ("POST", "/runs", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 422),
    ("POST", "/runs", {"content": b"\xff", "headers": {"Content-Type": "application/json"}}, 422),
    ("GET", "/runs", {"headers": {"Authorization": "Bearer no"}}, 401),
]


@pytest.mark.parametrize(("method", "path", "request_", "status"), REFUSED)
def test_every_failure_has_the_one_shape(
    api: TestClient, *, method: str, path: str, request_: dict[str, Any], status: int
) -> None:
    """A kind for programs and a sentence for people, at paths that are none too."""
    reply = api.request(method, f"/api/v1{path}", **request_)

    problem = reply.json()["error"]
    assert reply.status_code == status
    assert problem["kind"] in set(ErrorKind)
    assert re.fullmatch(r"[A-Z].*[.…]", problem["message"])


def test_a_method_that_is_none_is_told_all_that_are(api: TestClient) -> None:
    """Those of the whole path, whichever route has them; an id that is a word of its own is none."""
    allowed = {
        path: api.request("OPTIONS", f"/api/v1{path}").headers["allow"]
        for path in ("/runs", "/models/1", "/sweeps/forecast", "/answers/1/rating")
    }

    assert allowed == {"/runs": "GET, POST", "/models/1": "DELETE, GET", "/sweeps/forecast": "POST",
                       "/answers/1/rating": "DELETE, PUT"}  # fmt: skip


def test_every_kind_is_written_down() -> None:
    """What the domain may raise is one of the kinds that the description names."""

    def below(kind: type[errors.AppError]) -> set[str]:
        return {kind.kind}.union(*map(below, kind.__subclasses__()))

    assert below(errors.AppError) <= set(ErrorKind)


def test_whoever_is_to_come_back_is_told_when(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """429 and 503 carry `Retry-After`."""
    for error in (errors.TooManyError, errors.UnavailableError):

        def fail(error: type[errors.AppError] = error) -> None:
            raise error(message("No."))

        monkeypatch.setattr("app.api.workers.live_workers", fail)
        reply = api.get("/api/v1/workers")
        assert (reply.status_code, int(reply.headers["retry-after"]) > 0) == (error.status_code, True)


def test_a_recipe_needs_no_charset(api: TestClient, session: Session) -> None:
    """JSON is JSON, by whatever name ending in +json, and with parameters."""
    for media in ("application/json; charset=utf-8", "application/vnd.temper+json"):
        reply = api.post("/api/v1/near-misses", json=make_recipe_data(), headers={"Content-Type": media})
        assert reply.status_code == 200
