"""Probes of a run, those that were added later, and the askings that have them answered."""

from datetime import datetime

from fastapi import APIRouter, Response

from app.api.errors import documented
from app.api.once import once
from app.api.paging import Cursor, Page, cut
from app.api.runs import PostedRecipe
from app.api.types import MOST_LISTED, Id, Limit, Reply
from app.domain import askings
from app.domain.askable import probes_of, unanswered
from app.domain.errors import InvalidError
from app.domain.models import ArtifactState, Asking, ReasonKind
from app.domain.near_misses import NearMiss, NearMissKind, propose_near_misses
from app.domain.reasons import asking_reason_text
from app.domain.recipe_checks import check_filled
from app.domain.recipes import Probe, ProbeGroup
from app.domain.runs import get_run, recipe_of
from app.web.deps import ReadSession, WriteSession

router = APIRouter(tags=["probes"])


class ProbeReply(Reply):
    """A probe of a run."""

    id: int
    position: int
    """Among the run's probes, from 0."""
    group: ProbeGroup
    question: str
    reference: str
    added_at: datetime | None
    """When it was added to a run that had ended; null for those of the recipe."""


class ProbeList(Page):
    """A run's probes, in their order."""

    run_id: int
    probes: list[ProbeReply]


class AskingReply(Reply):
    """The asking of what checkpoints have no answer to."""

    id: int
    run_id: int
    state: ArtifactState
    reason: ReasonKind | None
    reason_message: str
    answers: int
    """Given so far."""
    seconds: float | None
    """Of answering, loading left out."""
    device: str
    dtype: str
    quantised: bool
    created_at: datetime
    ended_at: datetime | None


class AskingList(Page):
    """A run's askings, the newest first."""

    run_id: int
    missing: int
    """Answers that its checkpoints could give and have not."""
    askings: list[AskingReply]


class AddedProbe(ProbeReply):
    """A probe that was added, and the asking that it waits for."""

    asking: AskingReply


class NearMissReply(Reply):
    """A probe near the identity."""

    kind: NearMissKind
    question: str
    why: str


class NearMissList(Reply):
    """Probes near an identity, the most telling kinds first."""

    proposals: list[NearMissReply]


@router.post(
    "/runs/{run_id}/probes", status_code=202, summary="Add a probe and have it answered", responses=documented(404, 409)
)
@once
def add_run_probe(run_id: Id, probe: Probe, session: WriteSession, response: Response) -> AddedProbe:
    """
    Add a probe to a run that has ended: its base model and every checkpoint that has its files answer it.

    They do so as soon as a device is free; `GET /runs/ID/askings` tells how far that is. A second
    probe that is added meanwhile joins the same asking.
    """
    added = askings.add_probe(session, run_id, probe)
    response.headers["Location"] = f"/api/v1/runs/{run_id}/askings"
    newest = askings.askings_of(session, run_id)[0]
    return AddedProbe(**ProbeReply.model_validate(added).model_dump(), asking=asking_reply(newest))


@router.get("/runs/{run_id}/probes", summary="Probes of a run", responses=documented(404))
def get_run_probes(run_id: Id, session: ReadSession, *, cursor: Cursor = "", limit: Limit = MOST_LISTED) -> ProbeList:
    """Return a run's probes: those of its recipe, then those that were added later."""
    get_run(session, run_id)
    probes = [ProbeReply.model_validate(probe) for probe in probes_of(session, run_id)]
    page, more = cut(probes, "probes", run_id, cursor=cursor, limit=limit, place=lambda each: (each.position, each.id))
    return ProbeList(run_id=run_id, probes=page, next_cursor=more)


@router.get("/runs/{run_id}/askings", summary="Askings of a run", responses=documented(404))
def get_run_askings(run_id: Id, session: ReadSession, *, cursor: Cursor = "", limit: Limit = 25) -> AskingList:
    """Return what was asked after the run, and how far that is."""
    run = get_run(session, run_id)
    missing = sum(len(each.probes) for each in unanswered(session, run))
    replies = [asking_reply(asking) for asking in askings.askings_of(session, run_id)]
    page, more = cut(replies, "askings", run_id, cursor=cursor, limit=limit, place=lambda each: (-each.id,))
    return AskingList(run_id=run_id, missing=missing, askings=page, next_cursor=more)


@router.post("/runs/{run_id}/askings", status_code=202, summary="Ask what is missing", responses=documented(404, 409))
@once
def request_run_asking(run_id: Id, session: WriteSession, response: Response) -> AskingReply:
    """Have the checkpoints of a run asked what they have no answer to; an asking under way is returned as it is."""
    response.headers["Location"] = f"/api/v1/runs/{run_id}/askings"
    return asking_reply(askings.request_asking(session, run_id))


@router.get("/runs/{run_id}/near-misses", summary="Propose near misses of a run", responses=documented(404))
def propose_run_near_misses(run_id: Id, session: ReadSession) -> NearMissList:
    """Propose probes near a run's identity that it does not ask: `POST /runs/ID/probes` adds one."""
    run = get_run(session, run_id)
    asked = [probe.question for probe in probes_of(session, run_id)]
    return _near_misses(propose_near_misses(recipe_of(run).mix, asked=asked))


@router.post("/near-misses", summary="Propose near misses of a recipe")
def propose_recipe_near_misses(recipe: PostedRecipe) -> NearMissList:
    """Propose probes near a recipe's identity that it does not ask."""
    problems = list(check_filled(recipe.mix))
    if problems:
        raise InvalidError(problems)
    return _near_misses(propose_near_misses(recipe.mix, asked=[probe.question for probe in recipe.probes]))


def _near_misses(proposed: tuple[NearMiss, ...]) -> NearMissList:
    replies = [NearMissReply(kind=each.kind, question=each.question, why=str(each.why)) for each in proposed]
    return NearMissList(proposals=replies)


def asking_reply(asking: Asking) -> AskingReply:
    """Return an asking as the API shows it."""
    reason = str(asking_reason_text(asking.reason, asking.reason_detail)) if asking.reason else ""
    kept = {name: getattr(asking, name) for name in AskingReply.model_fields if name != "reason_message"}
    return AskingReply(**kept, reason_message=reason)
