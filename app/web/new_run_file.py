"""The form that starts runs, filled from a recipe file: YAML, TOML, JSON, or another run's recipe card."""

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from app.domain.card_files import LARGEST_BYTES, read_recipe_file
from app.domain.errors import FieldError, InvalidError
from app.domain.messages import message
from app.domain.recipe_checks import field_error
from app.domain.recipes import Recipe
from app.web.deps import ReadSession
from app.web.form_page import Origin, build_view
from app.web.form_starts import StartQuery, start_of
from app.web.forms import check_form, without_unwritten
from app.web.new_run import build_page, find_configs
from app.web.render import render

LONGEST_NAME = 120  # characters of a file's name
MOST_PROBLEMS = 8  # of a file that is no recipe; more would not be read

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class SentFile:
    """A file as it was sent."""

    name: str
    content: bytes


async def _read(request: Request) -> SentFile:
    async with request.form(max_fields=1, max_files=1) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile) or not file.filename:
            return SentFile("", b"")
        return SentFile(file.filename[:LONGEST_NAME], await file.read(LARGEST_BYTES + 1))


@router.post("/runs/new/file", name="new_run_file.fill")
def fill_form(request: Request, session: ReadSession, file: Annotated[SentFile, Depends(_read)]) -> Response:
    """Show the form filled from a file; where that holds no recipe, the form as it begins and what is wrong."""
    problems: list[FieldError] = []
    data, origin = _first_preset(session)
    try:
        data, origin = recipe_of_file(file.content).model_dump(mode="json"), Origin("file", file.name)
    except InvalidError as error:
        problems = list(error.fields)[:MOST_PROBLEMS]
    checked = check_form(session, data)
    view = build_view(session, checked, origin=origin, problems=without_unwritten(checked))
    page = replace(build_page(session, view, find_configs("")), is_typed=not problems, file_problems=problems)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if problems else HTTPStatus.OK
    return render(request, "runs/new.html", page, status)


def recipe_of_file(content: bytes) -> Recipe:
    """
    Read the recipe that a file holds.

    Raises:
        InvalidError: it holds none; of settings that are wrong, each is named.
    """
    if not content:
        raise InvalidError([FieldError("file", message("Choose a file first."))])
    try:
        return Recipe.model_validate(read_recipe_file(content))
    except ValidationError as error:
        raise InvalidError([field_error(detail) for detail in error.errors()]) from None


def _first_preset(session: ReadSession) -> tuple[dict[str, Any], Origin]:
    start = start_of(session, StartQuery())
    return start.data, start.origin
