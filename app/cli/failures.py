"""
What a failure is called on a terminal: a sentence, never a traceback.

Imported when a command has failed, since it knows the database's errors, and loading those takes
longer than most commands.
"""

from typing import NamedTuple

from pydantic import ValidationError
from pydantic_settings import SettingsError
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, ProgrammingError

from app.client import TemperError
from app.config import settings
from app.domain.errors import AppError, InvalidError


class Failure(NamedTuple):
    """A sentence, and one for each field that needs another value."""

    text: str
    fields: dict[str, str]


def failure_of(error: Exception) -> Failure | None:
    """Return what to tell of an error; None for one that is a mistake of Temper's own."""
    if isinstance(error, TemperError):
        return Failure(str(error), {each["field"]: each["message"] for each in error.fields})
    if isinstance(error, AppError):
        problems = error.fields if isinstance(error, InvalidError) else ()
        return Failure(str(error), {each.field: str(each.message) for each in problems})
    if isinstance(error, SettingsError) or (isinstance(error, ValidationError) and error.title == "Settings"):
        return _of_settings(error)
    if isinstance(error, OperationalError | ProgrammingError):
        return Failure(_database_text(error), {})
    if isinstance(error, ArgumentError | NoSuchModuleError):
        return Failure(f"TEMPER_DATABASE_URL cannot be used: {error}", {})
    return None


def _of_settings(error: SettingsError | ValidationError) -> Failure:
    if isinstance(error, SettingsError):
        return Failure(f'A setting that holds several values is no JSON, such as ["a", "b"]: {error}.', {})
    fields = {
        f"TEMPER_{str((*each['loc'], 'OIDC_…')[0]).upper()}": each["msg"].removeprefix("Value error, ")
        for each in reversed(error.errors())  # the first of a setting says most
    }
    return Failure("These settings need another value.", fields)


def _database_text(error: DBAPIError) -> str:
    text = str(error.orig).strip()
    if "unable to open database file" in text:
        path = settings().database.removeprefix("sqlite:///")
        return f"The database {path} cannot be opened. Is TEMPER_HOME right? `temper up` makes one where there is none."
    is_empty = "no such table" in text or ("relation" in text and "does not exist" in text)
    return "The database has no tables yet. Run `temper migrate`." if is_empty else f"The database refuses: {text}"
