"""What a recipe will do, before it is run; and the next recipe after one that went wrong."""

from typing import Any

from fastapi import APIRouter

from app.api.errors import documented
from app.api.runs import PostedRecipe
from app.api.types import Id, Reply
from app.domain.dilution import propose_dilution
from app.domain.errors import InvalidError
from app.domain.forecasts import Forecast, forecast_recipe
from app.domain.messages import message
from app.domain.recipe_checks import check_filled
from app.domain.recipes import Method, Recipe
from app.domain.runs import get_run, recipe_of
from app.domain.thresholds import read_thresholds
from app.domain.token_cache import StillCountingError
from app.domain.verdicts import judge_checkpoints
from app.web.deps import ReadSession
from app.web.workers import device_of_workers

router = APIRouter(tags=["forecast"])


class SourceReply(Reply):
    """One source of the mix in an epoch."""

    key: str
    """`identity`, `general`, or `files.0` and so on."""
    title: str
    """A saved set's name; empty for the other two."""
    rows: int
    tokens: int
    loss_tokens: int
    row_share: float
    token_share: float
    loss_share: float
    """Of all tokens that carry loss, 0 to 1."""


class BinReply(Reply):
    """Rows whose length is from `start` to before `stop`, in tokens, before they are cut."""

    start: int
    stop: int
    rows: int


class TokensReply(Reply):
    """One epoch in tokens."""

    samples: int
    tokens: int
    loss_tokens: int
    dropped_tokens: int
    cut_tokens: int
    packing_tokens: int
    padding_tokens: int
    """Drawn, not exact."""
    cut_rows: int
    rows_without_end: int
    rows_without_loss: int
    longest: int
    sources: list[SourceReply]
    histogram: list[BinReply]


class SeenReply(Reply):
    """An identity sentence, and how often the whole run shows it."""

    answer: str
    rows: int


class PlannedReply(Reply):
    """A checkpoint that the run will save."""

    iteration: int
    updates: int
    is_deleted: bool
    """Retention will have deleted its files by the end."""
    is_resumable: bool


class ForecastReply(Reply):
    """What is known of a run before it starts; null where it is not known, and `unknown` says why."""

    rows: int | None
    packs: int | None
    """Samples of one epoch: rows where packing is off."""
    iterations: int | None
    updates: int | None
    epochs: float | None
    iterations_per_epoch: int | None
    tokens: TokensReply | None
    identity_seen: list[SeenReply]
    saves: int | None
    """Checkpoints in all."""
    checkpoints: list[PlannedReply]
    """The newest thousand."""
    answers: int | None
    disk_bytes: int | None
    peak_bytes: int | None
    memory: dict[Method, int] | None
    """Bytes of a GPU by method."""
    training_seconds: float | None
    answering_seconds: float | None
    measured_on: str
    warnings: list[str]
    unknown: list[str]


class ChangeReply(Reply):
    """One setting that is proposed to be another."""

    path: str
    old: Any
    new: Any
    reason: str


class DilutionReply(Reply):
    """The next recipe after a run, and how it differs."""

    run_id: int
    summary: str
    changes: list[ChangeReply]
    recipe: Recipe
    """Ready for `POST /runs?cloned_from=ID`."""


@router.post("/forecast", summary="Say what a recipe will do", responses=documented(422, 503))
def forecast(recipe: PostedRecipe, session: ReadSession) -> ForecastReply:
    """
    Count tokens with the model's own tokenizer, replay xtuner's packing, and plan checkpoints, disk and time.

    Nothing is stored. A recipe that could not be run is forecast too, as far as that goes; but not
    one whose variables make its pairs too long. While a
    saved set is being counted, of this recipe or of the run that times are from, the answer is 503
    with `Retry-After`.
    """
    if problems := list(check_filled(recipe.mix)):
        raise InvalidError(problems)
    found = forecast_recipe(recipe, session=session, device=device_of_workers(), waits=False)
    if found.is_counting:
        raise StillCountingError(message("The tokens of a saved set are being counted. Look again in a moment."))
    return forecast_reply(found)


def forecast_reply(found: Forecast) -> ForecastReply:
    """Return a forecast as the API shows it."""
    sentences = {name: [str(each) for each in getattr(found, name)] for name in ("warnings", "unknown")}
    values = {name: getattr(found, name) for name in ForecastReply.model_fields if name not in sentences}
    return ForecastReply.model_validate(values | sentences)


@router.get("/runs/{run_id}/dilution", summary="Propose the next recipe", responses=documented(404, 503))
def get_dilution(run_id: Id, session: ReadSession) -> DilutionReply:
    """
    Propose what to change after a run that taught a parrot; no changes where nothing is to be diluted.

    While a saved set of the run is being counted the answer is 503 with `Retry-After`.
    """
    run = get_run(session, run_id)
    verdicts = judge_checkpoints(recipe_of(run), run.probes, run.checkpoints, thresholds=read_thresholds(session))
    proposal = propose_dilution(run, verdicts, waits=False)
    return DilutionReply(
        run_id=run_id,
        summary=str(proposal.summary),
        changes=[
            ChangeReply(path=each.path, old=each.old, new=each.new, reason=str(each.reason))
            for each in proposal.changes
        ],
        recipe=proposal.recipe,
    )
