"""
Errors as JSON, in one shape whatever went wrong.

It is `{"error": {"kind": "invalid", "message": "…", "fields": [{"field": "training.epochs", "message": "…"}]}}`.
`kind` is stable and meant for programs; the sentences are for people. An unexpected failure says
nothing about the server's inside: that is in its log.
"""

from collections.abc import Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from app.domain.errors import AppError, FieldError, InvalidError, NotFoundError
from app.domain.messages import message
from app.domain.recipe_checks import field_error


class ErrorKind(StrEnum):
    """What went wrong, for programs; none of them ever changes its meaning."""

    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    CONFLICT = "conflict"
    PRECONDITION_FAILED = "precondition_failed"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA = "unsupported_media"
    BAD_RANGE = "bad_range"
    INVALID = "invalid"
    REFUSED_MODEL = "refused_model"
    """Of a model's folder that holds what no admin has approved."""
    TOO_MANY = "too_many"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"
    COUNTING = "counting"
    """Of an answer that needs a saved set counted first: it comes, and `Retry-After` says when to ask."""


KINDS = {
    404: ErrorKind.NOT_FOUND,
    405: ErrorKind.METHOD_NOT_ALLOWED,
    413: ErrorKind.TOO_LARGE,
    416: ErrorKind.BAD_RANGE,
    500: ErrorKind.INTERNAL,
}
SENTENCES = {
    404: message("There is nothing at this address. The description is at /api/v1/openapi.json."),
    400: message("This request cannot be read."),
    416: message("The file has no such part."),
    405: message("This address takes other methods; the header Allow names them."),
}


JSON_PATHS = ("/api/", "/healthz", "/readyz")


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    model_config = ConfigDict(use_attribute_docstrings=True)
    field: str
    """Dotted path in the body, or the name of a query parameter."""
    message: str


class Problem(BaseModel):
    """What went wrong."""

    model_config = ConfigDict(use_attribute_docstrings=True)
    kind: ErrorKind
    message: str
    """For people, in English."""
    fields: list[FieldProblem] = []
    """Of an `invalid` request: every field that needs another value."""


class ErrorReply(BaseModel):
    """The body of every answer that is not a success."""

    error: Problem

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "error": {
                    "kind": "invalid",
                    "message": "These fields need another value: training.learning_rate.",
                    "fields": [
                        {
                            "field": "training.learning_rate",
                            "message": "nan is not a finite number. Give one such as 2e-4.",
                        }
                    ],
                }
            }
        }
    )


def documented(
    *statuses: int, files: Sequence[str] = (), lines: type[BaseModel] | None = None
) -> dict[int | str, dict[str, Any]]:
    """
    Return the OpenAPI answers of the given failures, all of one shape.

    Args:
        files: media types of a success beside JSON.
        lines: what each line is, where the success may come as lines.
    """
    text = {"schema": {"type": "string", "format": "binary"}}
    media: dict[str, Any] = dict.fromkeys(files, text)
    if lines is not None:
        media["application/x-ndjson"] = {"schema": {"$ref": f"#/components/schemas/{lines.__name__}"}}
    content: dict[int | str, dict[str, Any]] = {200: {"content": media}} if media else {}
    return content | {status: {"model": ErrorReply, "description": HTTPStatus(status).phrase} for status in statuses}


def is_api(request: Request) -> bool:
    """Whether a program asks, which is told of errors as JSON."""
    return request.url.path.startswith(JSON_PATHS)


def api_error(_request: Request, error: Exception) -> JSONResponse:
    """Answer with an error as JSON, with its true status."""
    if isinstance(error, RequestValidationError):
        error = _invalid(error.errors())
    if isinstance(error, HTTPException) and isinstance(error.__cause__, ValueError):  # FastAPI's, of a number in JSON
        text = message("This holds a number of more digits than can be read.")
        error = InvalidError([FieldError("body", text)])
    if isinstance(error, AppError):
        fields = error.fields if isinstance(error, InvalidError) else ()
        reply = _reply(error.status_code, error.kind, str(error), fields)
        if error.retry_seconds:
            reply.headers["Retry-After"] = str(error.retry_seconds)
        return reply
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        reply = _reply(status, KINDS.get(status, ErrorKind.BAD_REQUEST), str(SENTENCES.get(status, status.phrase)))
        reply.headers.update(error.headers or {})  # `Allow`, of a method that is none here
        return reply
    return _reply(HTTPStatus.INTERNAL_SERVER_ERROR, ErrorKind.INTERNAL, "Temper made a mistake. Its log says where.")


def _invalid(details: Sequence[Any]) -> AppError:
    if any(detail["loc"][0] == "path" for detail in details):  # 2^63, -1 and `x` name nothing, as 999 does
        return NotFoundError(message("There is nothing here."))
    return InvalidError([_named(detail) for detail in details])


def _named(detail: ErrorDetails) -> FieldError:
    place, *path = detail["loc"]
    if detail["type"] == "json_invalid":
        text = message("The body is not JSON: {problem}, at character {place}.", problem=detail["ctx"]["error"],
                       place=path[0])  # fmt: skip
        return FieldError("body", text)
    return field_error({**detail, "loc": tuple(path) or (place,)})


def _reply(status: int, kind: str, text: str, fields: Sequence[FieldError] = ()) -> JSONResponse:
    problems = [FieldProblem(field=each.field, message=str(each.message)) for each in fields]
    body = ErrorReply(error=Problem(kind=ErrorKind(kind), message=text, fields=problems))
    return JSONResponse(body.model_dump(mode="json"), status_code=int(status))
