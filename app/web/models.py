"""The models that runs start from: a list, a form that registers another, and removal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field
from sqlmodel import Session

from app.domain.approvals import Review, review, review_of
from app.domain.errors import ConflictError, InvalidError
from app.domain.messages import Message
from app.domain.models import Model, ModelState, Role
from app.domain.registry import (
    Approval,
    FoundModel,
    count_runs_of,
    list_models,
    look_at,
    register_model,
    remove_model,
)
from app.domain.xtuner_config import TEMPLATES
from app.web.deps import Id, ReadSession, WriteSession
from app.web.render import render

router = APIRouter(include_in_schema=False)


class TypedModel(BaseModel):
    """The form's fields as they were sent."""

    source: Annotated[str, Field(max_length=4_096)] = ""
    name: Annotated[str, Field(max_length=200)] = ""
    template: Annotated[str, Field(max_length=200)] = ""
    approve: Annotated[str, Field(max_length=64)] = ""
    """The hash of the files that were shown as dangerous, once an admin approves them."""


@dataclass(frozen=True)
class Registration:
    """The form as it stands: what was typed, what is found there, and what is wrong."""

    source: str = ""
    name: str = ""
    template: str = ""
    """Empty: the one that is proposed."""
    found: FoundModel | None = None
    review: Review | None = None
    """What could run code there."""
    errors: Mapping[str, Message] = field(default_factory=dict)
    is_typing: bool = False
    """The source is being typed: that nothing is there yet is no mistake."""

    def error(self, name: str) -> Message | None:
        """Return what is wrong with a field."""
        return self.errors.get(name)


@dataclass(frozen=True)
class ModelsPage:
    """Every model, and the form."""

    models: Sequence[Model]
    runs_of: Mapping[int, int]
    reviews: Mapping[int, Review | None]
    """Of each model, what could run code in its folder; None where that holds what nobody can approve."""
    is_preparing: bool
    """Some model is not ready yet: the list looks again by itself."""
    may_change: bool
    """The reader is an admin."""
    registration: Registration
    templates: Sequence[str]
    trouble: Message | None = None
    """Why a model could not be removed."""


@dataclass(frozen=True)
class ProposalPart:
    """What was found at the source, and the template that fits."""

    registration: Registration
    templates: Sequence[str]


@router.get("/models", name="models.index")
def show_models(request: Request, session: ReadSession) -> Response:
    """Show the models."""
    return _show(request, session, Registration())


def _show(
    request: Request,
    session: Session,
    registration: Registration,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    trouble: Message | None = None,
) -> Response:
    models = list_models(session)
    page = ModelsPage(
        models=models,
        runs_of=count_runs_of(session),
        reviews={model.id or 0: _review_of(session, model) for model in models},
        is_preparing=any(model.state is ModelState.PREPARING for model in models),
        may_change=request.state.user.may(Role.ADMIN),
        registration=registration,
        templates=TEMPLATES,
        trouble=trouble,
    )
    return render(request, "models/index.html", page, status, partial="models/_list.html")


def _review_of(session: Session, model: Model) -> Review | None:
    try:
        return review_of(session, model)
    except InvalidError:
        return None


@router.get("/models/proposal", name="models.propose")
def propose(request: Request, session: ReadSession, source: str = "", template: str = "") -> Response:
    """Say what is at a source while it is typed, which template fits, and what has to be approved."""
    typed = TypedModel(source=source[:4_096], template=template[:200])
    registration = replace(_looked_at(session, typed), is_typing=True)
    return render(request, "models/_proposal_reply.html", ProposalPart(registration, TEMPLATES))


def _looked_at(session: Session, typed: TypedModel) -> Registration:
    registration = Registration(typed.source, typed.name, typed.template)
    if not typed.source.strip():
        return registration
    try:
        found = look_at(typed.source)
        return replace(registration, found=found, review=review(session, found.folder))
    except InvalidError as error:
        return replace(registration, errors=_by_field(error))


def _by_field(error: InvalidError) -> dict[str, Message]:
    return {problem.field: problem.message for problem in reversed(error.fields)}


@router.post("/models", name="models.register")
def register(request: Request, session: WriteSession, typed: Annotated[TypedModel, Form()]) -> Response:
    """Register a model; or show the form again with every bad field named."""
    try:
        approval = Approval(typed.approve, by=request.state.user.name) if typed.approve else None
        register_model(session, source=typed.source, name=typed.name, template=typed.template, approval=approval)
    except InvalidError as error:
        registration = replace(_looked_at(session, typed), errors=_by_field(error))
        return _show(request, session, registration, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    return RedirectResponse("/models", status_code=HTTPStatus.SEE_OTHER)


@router.post("/models/{model_id}/remove", name="models.remove")
def remove(request: Request, session: WriteSession, model_id: Id) -> Response:
    """Forget a model; or say why that cannot be."""
    try:
        remove_model(session, model_id)
    except ConflictError as error:
        return _show(request, session, Registration(), status=HTTPStatus.CONFLICT, trouble=error.message)
    return RedirectResponse("/models", status_code=HTTPStatus.SEE_OTHER)
