"""Build the web application: middleware, routers and handlers. Assembles only."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app import api
from app.api import exchange
from app.domain import db, queue
from app.web import (
    account,
    artifacts,
    askings,
    assets,
    audit,
    audit_trail,
    blind,
    cards,
    compare,
    dataset_findings,
    datasets,
    errors,
    i18n,
    kept_files,
    login,
    model_reviews,
    models,
    new_run,
    new_run_file,
    new_run_mix,
    new_run_probes,
    new_sweep,
    oidc,
    patterns,
    ratings,
    request_limit,
    runs,
    security,
    streams,
    sweeps,
    users,
    verdicts,
    webhooks,
)
from app.web.render import compile_templates

ROUTERS = (
    api.router,
    i18n.router,
    oidc.router,  # before login: /login/oidc is no one-time link
    login.router,
    new_run_mix.router,
    new_run_probes.router,
    new_run_file.router,
    new_run.router,  # before runs: /runs/new is no run's id
    streams.router,
    artifacts.router,
    askings.router,
    runs.router,
    new_sweep.router,  # before sweeps: /sweeps/new is no sweep's id
    sweeps.router,
    cards.router,
    blind.router,
    compare.router,
    ratings.router,
    model_reviews.router,
    models.router,
    datasets.router,
    dataset_findings.router,
    verdicts.router,
    account.router,
    users.router,
    audit.router,
    webhooks.router,
    patterns.router,
)
UNCOMPRESSED = (
    *DEFAULT_EXCLUDED_CONTENT_TYPES,
    "application/octet-stream",
    "application/x-tar",
)  # weights do not shrink


class VersionedFiles(StaticFiles):
    """What `kept_files` leaves over, such as parts of files."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Let browsers keep hashed files for good, and ask again for others."""
        reply = await super().get_response(path, scope)
        reply.headers["Cache-Control"] = kept_files.cache_control(is_versioned=b"v=" in scope["query_string"])
        return reply


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Make what the first request would wait for; close the database's connections with the server."""
    queue.warn_if_open()
    audit_trail.routes_of(app)  # FastAPI builds its routes when somebody looks at them
    threading.Thread(target=compile_templates, daemon=True, name="templates").start()
    yield
    db.engine().dispose()


def create_app() -> FastAPI:
    """Assemble the application."""
    app = FastAPI(title="Temper", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    errors.install(app)
    exchange.install(app, methods=api.methods)
    request_limit.install(app)
    security.install(app)
    app.add_middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5, exclude_content_types=UNCOMPRESSED)
    app.add_middleware(i18n.LanguageMiddleware)
    app.mount("/static", VersionedFiles(directory=assets.STATIC_FOLDER), name="static")
    for router in ROUTERS:
        app.include_router(router)
    return app
