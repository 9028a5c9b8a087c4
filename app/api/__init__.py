"""The REST API, `/api/v1`: the same domain calls as the pages, as JSON. Assembles only."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.security import HTTPBearer

from app.api import (
    account,
    artifacts,
    audit,
    checkpoints,
    compare,
    configs,
    datasets,
    events,
    findings,
    forecasts,
    health,
    imports,
    mixes,
    models,
    presets,
    probes,
    ratings,
    run_files,
    runs,
    sweeps,
    tokens,
    users,
    verdicts,
    webhooks,
    workers,
)
from app.api.description import describe, methods_by_path
from app.api.errors import documented

_bearer = HTTPBearer(auto_error=False, description="Made by `temper token create`.")  # documents; the door checks
api = APIRouter(prefix="/api/v1", dependencies=[Depends(_bearer)], responses=documented(401, 403, 422))
_MODULES = (
    runs,
    run_files,
    events,
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
    configs,
    sweeps,
    verdicts,
    account,
    tokens,
    users,
    audit,
    workers,
    webhooks,
)
for _module in _MODULES:
    api.include_router(_module.router)
api.include_router(models.proposals)

router = APIRouter(generate_unique_id_function=lambda route: route.name)  # operation ids: `create_run`, `list_runs`


@cache
def _document() -> dict[str, Any]:
    return describe(router.routes)


@cache
def methods() -> Sequence[tuple[re.Pattern[str], frozenset[str]]]:
    """Return what each path of the API takes."""
    return methods_by_path(router.routes)


@api.get("/openapi.json", include_in_schema=False)
def get_openapi_document() -> dict[str, Any]:
    """Return the description of this API."""
    return _document()


router.include_router(api)
router.include_router(health.router)
