"""Build the web application: middleware, routers and handlers. Assembles only."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec

from fastapi import APIRouter, FastAPI
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app.domain import db
from app.web import assets, errors, i18n

ROUTERS = (
    "app.api",
    "app.web.i18n",
    "app.web.login",
    "app.web.new_run",  # before runs: /runs/new is no run's id
    "app.web.streams",
    "app.web.artifacts",
    "app.web.runs",
    "app.web.compare",
    "app.web.models",
    "app.web.patterns",
)
YEAR_SECONDS = 365 * 24 * 3600
UNCOMPRESSED = (
    *DEFAULT_EXCLUDED_CONTENT_TYPES,
    "application/octet-stream",
    "application/x-tar",
)  # weights do not shrink


class VersionedFiles(StaticFiles):
    """Static files; an address with a content hash never changes its content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Let browsers keep hashed files for good, and ask again for others."""
        reply = await super().get_response(path, scope)
        is_versioned = b"v=" in scope["query_string"]
        reply.headers["Cache-Control"] = f"public, max-age={YEAR_SECONDS}, immutable" if is_versioned else "no-cache"
        return reply


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Close the database's connections with the server."""
    yield
    db.engine().dispose()


def create_app() -> FastAPI:
    """Assemble the application."""
    app = FastAPI(title="Temper", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    errors.install(app)
    if find_spec("app.web.security") is not None:
        import_module("app.web.security").install(app)
    app.add_middleware(GZipMiddleware, minimum_size=1_000, exclude_content_types=UNCOMPRESSED)
    app.add_middleware(i18n.LanguageMiddleware)
    app.mount("/static", VersionedFiles(directory=assets.STATIC_FOLDER), name="static")
    for name in ROUTERS:
        if find_spec(name) is not None:
            _include(app, name)
    return app


def _include(app: FastAPI, name: str) -> None:
    router = getattr(import_module(name), "router", None)
    if isinstance(router, APIRouter):
        app.include_router(router)
