"""Imports of runs that were made by hand with xtuner, from folders that an admin has allowed."""

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from app.api.errors import documented
from app.api.types import Reply
from app.domain.importing.storing import Wishes
from app.domain.importing.taking import Given, confined, prepared
from app.domain.recipes import ProbeGroup, Recipe
from app.web.deps import WriteSession

router = APIRouter(prefix="/imports", tags=["runs"])

MOST_ANSWERS = 64
Answer = Annotated[str, Field(min_length=1, max_length=8_000)]


class NewImport(BaseModel):
    """A folder that xtuner wrote to, and what it does not tell."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    work_dir: Annotated[str, Field(min_length=1, max_length=4_096, examples=["/imports/train"])]
    """On the server, under one of `TEMPER_IMPORT_ROOTS`."""
    name: Annotated[str, Field(max_length=120)] = ""
    """The config's own name when empty."""
    model: Annotated[str, Field(max_length=120)] = ""
    """A registered model, or a name for one that is not here; told by the config when empty."""
    identity: Annotated[list[Answer], Field(max_length=MOST_ANSWERS)] = []
    """Answers that are the identity; told by the rows when empty."""
    groups: Annotated[dict[int, ProbeGroup], Field(max_length=MOST_ANSWERS)] = {}
    """What a question is there to show, by its number from 1; told by its words when left out."""
    dry_run: StrictBool = False
    """Store nothing."""


class ImportReply(Reply):
    """What an import came to."""

    outcome: Literal["new", "updated", "unchanged", "dry-run"]
    run_id: int | None
    """Null after a dry run."""
    recipe: Recipe
    checkpoints: list[int]
    """Iterations that were found; 0 is the base model."""
    answers: int
    notes: list[str]
    """What could not be read, and what to know of what was."""


@router.post("", status_code=201, summary="Import a run", responses=documented(403))
def import_run(wanted: NewImport, session: WriteSession, response: Response) -> ImportReply:
    """
    Take a run that was made by hand with xtuner into the comparison; takes an admin.

    The folder stays as it is. The same folder again brings the same run up to date.
    """
    folder, roots = confined(wanted.work_dir)
    wishes = Wishes(wanted.name, wanted.model, wanted.groups)
    with prepared(folder, Given(tuple(wanted.identity), roots=roots)) as found:
        checkpoints = [each.iteration for each in found.found.checkpoints]
        answers = sum(len(each.said) for each in found.found.checkpoints)
        if wanted.dry_run:
            recipe, notes = found.planned(session, wishes)
            return ImportReply(outcome="dry-run", run_id=None, recipe=recipe, checkpoints=checkpoints,
                               answers=answers, notes=[str(note) for note in notes])  # fmt: skip
        imported = found.store(session, wishes)
    response.headers["Location"] = f"/api/v1/runs/{imported.run.id}"
    return ImportReply(
        outcome=imported.outcome,
        run_id=imported.run.id,
        recipe=Recipe.model_validate(imported.run.recipe),
        checkpoints=checkpoints,
        answers=answers,
        notes=[str(note) for note in imported.notes],
    )
