"""
Errors as a reader sees them: a page, or for htmx a toast, always with the true status.

Errors under `/api/` are JSON; `app/api/errors.py` writes them.
"""

import logging
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.api.errors import api_error, is_api
from app.domain import audit
from app.domain.errors import AppError, UnavailableError
from app.domain.messages import N_, Message, message
from app.web.render import render

log = logging.getLogger(__name__)

TITLES = {
    400: N_("That could not be read"),
    401: N_("Please log in"),
    403: N_("That is not allowed"),
    404: N_("There is nothing here"),
    405: N_("That is not how this address works"),
    413: N_("That is too large"),
    409: N_("That does not fit the present state"),
    422: N_("Something needs another value"),
    429: N_("That is too much at once"),
    500: N_("Temper made a mistake"),
    503: N_("Something does not answer"),
}
NO_DATABASE = message("The database does not answer. Try again in a moment.")
UNREADABLE = message("The address or the form holds a value that cannot be read.")
UNEXPECTED = message(
    "The mistake is in the server's log. Your runs go on: they do not depend on this page. Try again, and if it "
    "stays, the log says where it happened."
)


@dataclass(frozen=True)
class ErrorPage:
    """What went wrong, in words."""

    status: int
    title: str
    text: Message


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(AppError, app_error)
    app.add_exception_handler(OperationalError, _database_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected)


def answer(request: Request, status: int, text: Message) -> HTMLResponse:
    """Answer with an error as a page or, for htmx, as a toast."""
    page = ErrorPage(status=status, title=TITLES.get(status, TITLES[400]), text=text)
    is_htmx = request.headers.get("hx-request") == "true"
    return render(request, "errors/_toast.html" if is_htmx else "errors/error.html", page, status)


def app_error(request: Request, error: Exception) -> Response:
    """Answer with an error that has a sentence: as JSON where a program asks, else as a page or a toast."""
    if isinstance(error, AppError):
        audit.note_reason(str(error))
    if is_api(request):
        return api_error(request, error)
    if not isinstance(error, AppError):
        raise error
    reply = answer(request, error.status_code, error.message)
    if error.retry_seconds:
        reply.headers["Retry-After"] = str(error.retry_seconds)
        if request.method == "GET":
            reply.headers["Refresh"] = str(error.retry_seconds)  # which a browser heeds
    return reply


def _database_error(request: Request, error: Exception) -> Response:
    """Say that the database is locked, full or away: nothing of the request was done, and it may be tried again."""
    log.warning("the database does not answer at %s %s: %s", request.method, request.url.path, error)
    return app_error(request, UnavailableError(NO_DATABASE))


def _validation_error(request: Request, error: Exception) -> Response:
    if is_api(request):
        return api_error(request, error)
    if isinstance(error, RequestValidationError) and any(each["loc"][0] == "path" for each in error.errors()):
        # 2^63 names nothing, as 999 does
        return answer(request, HTTPStatus.NOT_FOUND, _http_text(HTTPStatus.NOT_FOUND))
    return answer(request, HTTPStatus.UNPROCESSABLE_ENTITY, UNREADABLE)


def _http_error(request: Request, error: Exception) -> Response:
    if is_api(request):
        return api_error(request, error)
    status = error.status_code if isinstance(error, HTTPException) else 500
    return answer(request, status, _http_text(status))


def _http_text(status: int) -> Message:
    if status == HTTPStatus.NOT_FOUND:
        return message("The address may be mistyped, or what it named is gone.")
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return message("This address exists, and does something else.")
    return message("{reason}", reason=HTTPStatus(status).phrase)


def _gone(_request: Request, _error: Exception) -> Response:
    """Answer nobody: the browser has sent a newer request in the place of this one before all of it was here."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected error at %s %s", request.method, request.url.path, exc_info=error)
    if is_api(request):
        return api_error(request, error)
    return answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, UNEXPECTED)
