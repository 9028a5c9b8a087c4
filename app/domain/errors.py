"""
Every error that a user may be shown, with its HTTP status.

One handler per surface turns them into a page, a toast or JSON; nothing else in the project
knows about status codes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from app.domain.messages import Message, message


class AppError(Exception):
    """A failure that has a sentence for the user."""

    status_code: ClassVar[int] = 400
    kind: ClassVar[str] = "bad_request"
    retry_seconds: int = 0
    """When to ask again; 0 where that would not help."""

    def __init__(self, text: Message) -> None:
        """Keep the untranslated message; `str()` of the error is its English form."""
        super().__init__(str(text))
        self.message = text


class NotAcceptableError(AppError):
    """The answer exists, and in none of the forms that the request accepts."""

    status_code = 406
    kind = "not_acceptable"


class NotFoundError(AppError):
    """The thing named in the request does not exist."""

    status_code = 404
    kind = "not_found"


class ConflictError(AppError):
    """The thing exists, and its state does not allow what was asked."""

    status_code = 409
    kind = "conflict"


class PreconditionFailedError(AppError):
    """The thing has changed since the caller looked at it."""

    status_code = 412
    kind = "precondition_failed"


class UnsupportedMediaError(AppError):
    """The body is of a form that is not read here."""

    status_code = 415
    kind = "unsupported_media"


class UnauthorizedError(AppError):
    """The request carries no valid session or token."""

    status_code = 401
    kind = "unauthorized"


class ForbiddenError(AppError):
    """The request is understood and not allowed, whoever asks."""

    status_code = 403
    kind = "forbidden"


class TooLargeError(AppError):
    """More was sent than may be sent at once."""

    status_code = 413
    kind = "too_large"


class UnsupportedTypeError(AppError):
    """What was sent is a file of a kind that is never taken."""

    status_code = 415
    kind = "unsupported_media"


class UnavailableError(AppError):
    """Something Temper needs (the queue, the database) does not answer now."""

    status_code = 503
    kind = "unavailable"
    retry_seconds = 5


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field: its dotted path in the recipe, and the sentence to show there."""

    field: str
    message: Message


class InvalidError(AppError):
    """One or more fields hold values that cannot be used."""

    status_code = 422
    kind = "invalid"

    def __init__(self, fields: Sequence[FieldError]) -> None:
        """Keep every field's error: a form shows all of them at once."""
        names = ", ".join(dict.fromkeys(error.field for error in fields))
        super().__init__(message("These fields need another value: {fields}.", fields=names))
        self.fields = tuple(fields)


class TooManyError(AppError):
    """The same was tried too often; it may be tried again soon."""

    status_code = 429
    kind = "too_many"

    def __init__(self, text: Message, *, retry_seconds: int = 5) -> None:
        """Keep in how many seconds it may be tried again."""
        super().__init__(text)
        self.retry_seconds = retry_seconds
