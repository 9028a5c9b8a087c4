"""A mix looked at: its rows as text and as tokens, their lengths, and each source's share; and its pairs saved."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.datasets import DatasetReply, DatasetRowReply
from app.api.errors import documented
from app.api.forecasts import BinReply, SourceReply
from app.api.once import once_late
from app.api.runs import PostedRecipe
from app.api.types import LARGEST_ID, Reply
from app.domain.datasets import store
from app.domain.errors import FieldError, InvalidError, UnavailableError
from app.domain.mix_reading import MOST_READ, rows_as_read
from app.domain.mixes import general_of, identity_of
from app.domain.recipe_checks import check_filled, check_recipe
from app.domain.recipes import Mix
from app.domain.registry import find_model, problem_of
from app.domain.token_cache import StillCountingError
from app.domain.token_forecasts import forecast_tokens
from app.web.deps import ReadSession, WriteSession

router = APIRouter(prefix="/mixes", tags=["mixes"])


class PieceReply(Reply):
    """Tokens in a row that are alike, as one text; a special token is alone."""

    text: str
    is_special: bool
    has_loss: bool
    is_cut: bool
    """Beyond the maximum length: the model never sees it."""
    tokens: int


class AsReadReply(Reply):
    """A row as the model reads it."""

    pieces: list[PieceReply]
    """Its beginning: at most 20,000 characters, and 200 tokens after the maximum length."""
    more_tokens: int
    """That come after the pieces."""
    tokens: int
    """Before it is cut."""
    loss_tokens: int
    """After."""
    loses_end: bool
    """Its answer is cut before it ends."""


class MixRowReply(Reply):
    """One row of a mix."""

    number: int
    """Its place among all rows, from 0."""
    source: str
    place: int
    """Among the rows that its source holds, from 0."""
    row: DatasetRowReply
    """xtuner's native form."""
    as_read: AsReadReply


class InspectionReply(Reply):
    """A mix looked at."""

    rows: list[MixRowReply]
    total: int
    sources: list[SourceReply]
    histogram: list[BinReply]
    offset: int
    limit: int


@router.post("/inspect", summary="Look at a mix as the model reads it", responses=documented(422, 503))
def inspect_mix(
    recipe: PostedRecipe,
    session: ReadSession,
    offset: Annotated[int, Query(ge=0, le=LARGEST_ID, description="How many rows to skip.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_READ, description="How many rows to return at most.")] = 10,
) -> InspectionReply:
    """
    Return rows of a recipe's mix with its model's template applied, token by token.

    At first each row of each source comes once, in the order in which they are trained on. While a
    saved set is being counted the answer is 503 with `Retry-After`.
    """
    model = find_model(session, recipe.model)
    problems = [each for each in check_recipe(recipe) if each.field.partition(".")[0] == "mix"]
    if model is None and (text := problem_of(recipe.model, model)):
        problems.append(FieldError("model", text))
    if problems or model is None:
        raise InvalidError(problems)
    try:
        tokens = forecast_tokens(recipe, model, waits=False)
        rows = rows_as_read(recipe, model, offset=offset, limit=limit)
    except StillCountingError:
        raise
    except UnavailableError as error:  # its tokenizer is not read here: asking again changes nothing
        raise InvalidError([FieldError("model", error.message)]) from error
    return InspectionReply(
        rows=[MixRowReply.model_validate(each) for each in rows],
        total=sum(source.rows for source in tokens.sources),
        sources=[SourceReply.model_validate(each) for each in tokens.sources],
        histogram=[BinReply.model_validate(each) for each in tokens.histogram],
        offset=offset,
        limit=limit,
    )


@router.post("", status_code=201, summary="Save the pairs of a mix as a dataset", responses=documented(409))
@once_late
def save_mix(
    mix: Mix,
    session: WriteSession,
    response: Response,
    name: Annotated[str, Query(min_length=1, max_length=1_000, description="Of the set.")],
) -> DatasetReply:
    """
    Store the identity and general pairs of a mix, each once, as the newest version of a name.

    Variables are filled in. Saved sets that the mix names are not copied: they are sets already.
    """
    problems = list(check_filled(mix))
    if problems:
        raise InvalidError(problems)
    dataset = store.store_pairs(session, name=name, pairs=[*identity_of(mix), *general_of(mix)])
    response.headers["Location"] = f"/api/v1/datasets/{dataset.id}"
    return DatasetReply.model_validate(dataset)
