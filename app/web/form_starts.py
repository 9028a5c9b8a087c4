"""What the form that starts runs is filled with at first: a preset, a run, a set, a proposal, a config of xtuner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query
from sqlmodel import Session

from app.domain import xtuner_configs
from app.domain.datasets.store import get_dataset
from app.domain.messages import Message
from app.domain.models import ModelState, Run
from app.domain.presets import PRESETS
from app.domain.recipes import Recipe
from app.domain.registry import list_models
from app.domain.runs import get_run, id_of, recipe_of
from app.web.deps import LARGEST_ID
from app.web.form_page import Origin, differing_settings
from app.web.mix_changes import add_file
from app.web.proposals import ShownProposal, proposal_after, shown_proposal


@dataclass(frozen=True)
class Start:
    """What a form is filled with at first."""

    data: dict[str, Any]
    origin: Origin
    notes: Sequence[Message] = ()
    proposal: ShownProposal | None = None


@dataclass(frozen=True)
class StartQuery:
    """What an address asks the form to be filled from."""

    preset: str = ""
    clone: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None
    dilute: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None
    dataset: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None
    xtuner: Annotated[str, Query(max_length=200)] = ""


def start_of(session: Session, query: StartQuery) -> Start:
    """Return what an address asks the form to be filled from; the first preset where it names nothing."""
    if query.clone is not None:
        run = get_run(session, query.clone)
        return Start(recipe_of(run).model_dump(mode="json"), Origin("clone", run.name, id_of(run)))
    if query.dilute is not None:
        return _start_diluted(get_run(session, query.dilute), session)
    if query.xtuner:
        return _start_from_xtuner(session, query.xtuner)
    chosen = next((known for known in PRESETS if known.key == query.preset), None)
    if query.dataset is not None:
        dataset = get_dataset(session, query.dataset)
        return Start(add_file(_with_model(session, (chosen or PRESETS[0]).recipe), dataset), Origin())
    if chosen is None:
        return Start(_with_model(session, PRESETS[0].recipe), Origin("preset", PRESETS[0].key))
    return Start(chosen.recipe.model_dump(mode="json"), Origin("preset", chosen.key))


def _start_diluted(run: Run, session: Session) -> Start:
    proposal = proposal_after(session, run)
    origin = Origin("clone", run.name, id_of(run), differing_settings(proposal.recipe, recipe_of(run)))
    return Start(proposal.recipe.model_dump(mode="json"), origin, proposal=shown_proposal(run, proposal))


def _with_model(session: Session, recipe: Recipe) -> dict[str, Any]:
    """Fill in the only model there is, where the recipe's own is not registered and nobody asked for it."""
    data = recipe.model_dump(mode="json")
    names = [model.name for model in list_models(session) if model.state is ModelState.READY]
    if recipe.model not in names and len(names) == 1:
        data["model"] = names[0]
    return data


def _start_from_xtuner(session: Session, name: str) -> Start:
    config = xtuner_configs.read_config(name)
    data = _merged(_with_model(session, PRESETS[0].recipe), config.values)
    data["name"] = name[:120]
    wanted = config.base_model.rpartition("/")[2].lower()
    for model in list_models(session):
        if wanted and wanted in {model.name.lower(), model.source.rpartition("/")[2].lower()}:
            data["model"] = model.name
            break
    else:
        data["model"] = config.base_model or data["model"]
    return Start(data, Origin("xtuner", name), config.notes)


def _merged(data: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a config's values over a recipe's; a length replaces the other kind of length."""
    merged = dict(data)
    if {"epochs", "iterations"} & values.keys():
        merged |= {"epochs": None, "iterations": None}
    for name, value in values.items():
        merged[name] = _merged(merged.get(name, {}), value) if isinstance(value, Mapping) else value
    return merged
