"""
The description of the API (OpenAPI 3.1), good enough to generate a client from.

FastAPI writes what the routes say. What holds for all of them is added here, once: tags of
content, limits, and the one shape of errors.
"""

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from app.api.events import run_events

VERSION = "1"
DESCRIPTION = """\
Start runs, follow them, and read what every checkpoint answers.

Send a token that `temper token create` made: `Authorization: Bearer temper_…`. A browser's login
may read, too; whatever changes something takes a token. Every answer that is not a success has
the body of `ErrorReply`.
"""
TAGS = [
    {"name": "runs", "description": "One recipe being trained, or trained."},
    {"name": "sweeps", "description": "Several runs whose recipes differ in named settings."},
    {"name": "checkpoints", "description": "What a run saved at an iteration."},
    {"name": "probes", "description": "Fixed questions, and asking them of checkpoints that are there already."},
    {"name": "answers", "description": "What checkpoints said to probes, side by side."},
    {"name": "ratings", "description": "Stars and notes for answers, and blind votes between two."},
    {"name": "artifacts", "description": "Adapters and merged models, and their files."},
    {"name": "datasets", "description": "Saved sets of rows, a version for each content."},
    {"name": "mixes", "description": "Rows of a recipe, as a person and as the model reads them."},
    {"name": "forecast", "description": "What a recipe will do, before it is run."},
    {"name": "models", "description": "Base models that runs start from."},
    {"name": "verdicts", "description": "What scores are held against."},
    {"name": "webhooks", "description": "Who is told what becomes of runs. Takes an admin."},
    {"name": "presets", "description": "Recipes to start from."},
    {"name": "configs", "description": "Configs that xtuner ships, and the one that a recipe is trained with."},
    {"name": "workers", "description": "Who trains, and on what."},
    {"name": "account", "description": "Who is calling, and the browsers that are logged in."},
    {"name": "tokens", "description": "Secrets for scripts, each as narrow as it needs to be."},
    {"name": "users", "description": "Who may come in, and what each may do; for admins."},
    {"name": "audit", "description": "Every change that somebody asked for, made or refused; for admins."},
    {"name": "health", "description": "For probes of containers and balancers; needs no token."},
]

ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorReply"}}}
REF = "#/components/schemas/{model}"
OPEN = ("/healthz", "/readyz")
TEXT = {"type": "string"}


def describe(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """Return the description of the API that these routes are."""
    document = get_openapi(title="Temper", version=VERSION, description=DESCRIPTION, routes=routes, tags=TAGS)
    schemas = document["components"]["schemas"]
    events = run_events.json_schema(ref_template=REF, mode="serialization")
    schemas |= events.pop("$defs") | {"RunEvent": events | {"title": "RunEvent"}}
    for path, method, operation in _operations(document):
        if path not in OPEN:
            _add_what_all_have(method, operation)
    return document


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def _add_what_all_have(method: str, operation: dict[str, Any]) -> None:
    answers: dict[str, Any] = operation["responses"]
    failures = [HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE]
    if method == "get":
        answers["304"] = {"description": "It is what `If-None-Match` names: nothing has changed."}
        failures.append(HTTPStatus.NOT_ACCEPTABLE)
        operation.setdefault("parameters", []).append(IF_NONE_MATCH)
    if "requestBody" in operation:
        failures += [HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE]
    if _takes_key(operation):
        failures.append(HTTPStatus.CONFLICT)
    if _is_file(answers):
        answers["206"] = {"description": "The part that `Range` names.", "content": answers["200"]["content"]}
        failures.append(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
    for status in failures:
        answers.setdefault(str(int(status)), {"description": status.phrase})
    for code, answer in answers.items():
        if code >= "400":  # also where the success is a file: FastAPI gives both its media type
            answer["content"] = ERROR
        if headers := _headers(method, code, operation):
            answer["headers"] = headers
    operation["responses"] = dict(sorted(answers.items()))


def _takes_key(operation: dict[str, Any]) -> bool:
    return any(each["name"] == "idempotency-key" for each in operation.get("parameters", ()))


def _is_file(answers: dict[str, Any]) -> bool:
    return "application/octet-stream" in answers.get("200", {}).get("content", {})


def _headers(method: str, status: str, operation: dict[str, Any]) -> dict[str, Any]:
    names = {"Retry-After"} if status in {"429", "503"} else set()
    if method == "get" and status in {"200", "304"} and operation["operationId"] != "watch_run":
        names |= {"ETag"}
    if status in {"200", "201", "202"} and any(
        each["name"] == "idempotency-key" for each in operation.get("parameters", ())
    ):
        names |= {"Location", "Idempotent-Replayed"}
    return {name: {"description": HEADERS[name], "schema": TEXT} for name in sorted(names)}


def methods_by_path(routes: Sequence[BaseRoute]) -> list[tuple[re.Pattern[str], frozenset[str]]]:
    """Return what each path takes that is described; those without a part that varies first, as they win."""
    methods: dict[str, frozenset[str]] = {}
    for route in iter_route_contexts(routes):
        if route.path and route.methods and getattr(route, "include_in_schema", True):
            methods[route.path] = methods.get(route.path, frozenset()) | frozenset(route.methods)
    paths = sorted(methods, key=lambda path: "{" in path)
    return [(re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))), methods[path]) for path in paths]


HEADERS = {
    "ETag": "Of the content: send it as `If-None-Match`, or as `If-Match` with a change.",
    "Retry-After": "Seconds until it is worth asking again; nothing of the request was done.",
    "Location": "Where what was made is looked at.",
    "Idempotent-Replayed": "`true` where this is the answer to an earlier request with the same key.",
}
IF_NONE_MATCH = {
    "name": "if-none-match",
    "in": "header",
    "required": False,
    "description": "The `ETag` that you have: 304 where it is still the same.",
    "schema": {"type": "string"},
}
