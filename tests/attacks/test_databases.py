"""What one of the two databases cannot take: numbers beyond its columns, and the sign that ends its texts."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from sqlmodel import Session

from tests.stories import make_story
from tests.web.form_fields import fields_of as fields_of_form
from tests.web.form_fields import soup_of

LARGE, NUL = "2147483648", "x\x00y"  # the first number that Postgres's ids cannot be; no text there may hold the sign
READ_BY_HAND = {"runs", "cell", "q", "state", "tag", "sort", "show", "checkpoints", "column", "probe"}
"""What pages of runs and comparisons take out of an address themselves."""
SENT_BY_HAND = {
    "name",
    "model",
    "after",
    "cloned_from",
    "request_key",
    "probes.0.question",
    "mix.identity.name",
    "change",
}
"""Some of what the forms of runs and sweeps hold."""


def queries_of(dependant: Dependant) -> Iterator[str]:
    """Return the names that a route and what it depends on take from a query."""
    yield from (field.alias for field in dependant.query_params)
    for inner in dependant.dependencies:
        yield from queries_of(inner)


def looks(app: Any) -> Iterator[tuple[str, set[str]]]:
    """Return the path of everything that can be looked at, and what it takes from a query; no streams."""
    for context in iter_route_contexts(app.routes):
        route, path = context.original_route, context.path or ""
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()) and not path.endswith("/events"):
            by_hand = READ_BY_HAND if path.startswith(("/runs", "/compare")) else set()
            yield path, {*queries_of(context.dependant), *by_hand}


def addresses(app: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """Return every address in which a bad value stands once: in the path, or in its query beside ids that exist."""
    for path, names in looks(app):
        if "{" in path:
            yield "/".join(LARGE if part.startswith("{") else part for part in path.split("/")), {}
        here = "/".join("1" if part.startswith("{") else part for part in path.split("/"))
        yield from ((here, {name: value}) for name in sorted(names) for value in (LARGE, NUL))


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_nothing_in_an_address_is_too_much_for_a_database(client: Any, session: Session) -> None:
    """38: Whatever number or sign stands wherever in an address is refused or names nothing, on Postgres too."""
    make_story(session)

    answers = [(path, query, client.get(path, params=query).status_code) for path, query in addresses(client.app)]

    assert [each for each in answers if each[2] >= 500 or each[2] == 429] == []
    assert len(answers) > 500


def forms(app: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """Return every form that a page sends, its fields at their worst: one after the other, and all of them."""
    for context in iter_route_contexts(app.routes):
        route, path = context.original_route, context.path or ""
        if not isinstance(route, APIRoute) or "POST" not in (route.methods or ()) or path.startswith("/api"):
            continue
        names = {*fields_of(context.dependant), *(SENT_BY_HAND if "/new" in path else ())}
        here = "/".join("1" if part.startswith("{") else part for part in path.split("/"))
        yield from ((here, {name: value}) for name in sorted(names) for value in (LARGE, NUL))
        yield here, dict.fromkeys(names, NUL)


def fields_of(dependant: Dependant) -> Iterator[str]:
    """Return the names that a route and what it depends on take from a form."""
    yield from (field.alias for field in dependant.body_params)
    for inner in dependant.dependencies:
        yield from fields_of(inner)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_nothing_in_a_form_is_too_much_for_a_database(client: Any, session: Session) -> None:
    """38: Nor what stands in a form."""
    make_story(session)

    answers = [(path, sent, client.post(path, data=sent).status_code) for path, sent in forms(client.app)]

    assert [each for each in answers if each[2] >= 500] == []
    assert len(answers) > 100


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_run_starts_though_its_key_is_none(client: Any, session: Session) -> None:
    """38: The form's own key is a page's, and whoever changes it to what cannot be stored sends none."""
    model = make_story(session).model
    fields = fields_of_form(soup_of(client.get("/runs/new"))) | {"name": "mine", "model": model.name}

    reply = client.post("/runs", data=fields | {"request_key": NUL})

    assert reply.status_code == 303
