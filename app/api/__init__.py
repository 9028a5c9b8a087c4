"""The REST API, `/api/v1`: the same domain calls as the pages, as JSON. Assembles only."""

from functools import cache
from itertools import chain
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.openapi.utils import get_openapi
from fastapi.security import HTTPBearer

from app.api import (
    artifacts,
    checkpoints,
    compare,
    datasets,
    findings,
    forecasts,
    health,
    imports,
    mixes,
    models,
    presets,
    probes,
    ratings,
    runs,
    sweeps,
    verdicts,
)
from app.api.errors import documented

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
    {"name": "presets", "description": "Recipes to start from."},
    {"name": "health", "description": "For probes of containers and balancers; needs no token."},
]

_bearer = HTTPBearer(auto_error=False, description="Made by `temper token create`.")  # documents; the door checks
api = APIRouter(prefix="/api/v1", dependencies=[Depends(_bearer)], responses=documented(401, 403, 422))
_MODULES = (
    runs,
    imports,
    checkpoints,
    probes,
    compare,
    ratings,
    artifacts,
    datasets,
    findings,
    mixes,
    forecasts,
    models,
    presets,
    sweeps,
    verdicts,
)
for _module in _MODULES:
    api.include_router(_module.router)

router = APIRouter(generate_unique_id_function=lambda route: route.name)  # operation ids: `create_run`, `list_runs`


@cache
def _document() -> dict[str, Any]:
    document = get_openapi(title="Temper", version=VERSION, description=DESCRIPTION, routes=router.routes, tags=TAGS)
    for operation in chain.from_iterable(path.values() for path in document["paths"].values()):
        for status, answer in operation["responses"].items():
            if status.startswith("4"):  # also where the success is a file: FastAPI gives both its media type
                answer["content"] = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorReply"}}}
    return document


@api.get("/openapi.json", include_in_schema=False)
def get_openapi_document() -> dict[str, Any]:
    """Return the description of this API."""
    return _document()


router.include_router(api)
router.include_router(health.router)
