"""
The base model of a foreign run: the registered one that it was, or a name that stands for it.

A run's answers can be compared wherever its weights are. Where they are not here, a model of that name is
noted down from which nothing can be trained, and which says so.
"""

import re
from pathlib import Path

from sqlmodel import Session, func, select

from app.domain import db
from app.domain.importing.found import FoundConfig
from app.domain.models import Model, ModelState
from app.domain.registry import MAX_NAME, list_models
from app.domain.texts import storable

NOT_HERE = "Its weights are not on this machine: it is known from an imported run alone."
NAMELESS = "model"


def base_name(session: Session, config: FoundConfig | None, wanted: str) -> str:
    """Return the name of the model that a run is of, whether it is registered or not."""
    found = _registered(session, config, wanted)
    return found.name if found else _name_from(wanted or (config.model if config else ""))


def base_of(session: Session, config: FoundConfig | None, wanted: str) -> Model:
    """
    Return the model that a run is of, noted down where it is not registered.

    Args:
        wanted: the name that the user gives; else the config's path tells.
    """
    found = _registered(session, config, wanted)
    if found is not None:
        return found
    model = Model(
        name=_name_from(wanted or (config.model if config else "")),
        source=storable(config.model if config else ""),
        template=(config.template if config else "") or "default",
        state=ModelState.FAILED,
        reason=NOT_HERE,
    )
    stored = db.add_once(session, model, key=["name"])
    return stored or session.exec(select(Model).where(Model.name == model.name)).one()  # an admin was as quick


def _registered(session: Session, config: FoundConfig | None, wanted: str) -> Model | None:
    path = config.model if config else ""
    if not wanted and path:
        same = next((model for model in list_models(session) if path in {model.source, model.path}), None)
        if same is not None:
            return same
    name = _name_from(wanted or path)
    return session.exec(select(Model).where(func.lower(Model.name) == name.lower())).first()


def _name_from(path: str) -> str:
    """Return what a model may be called, of its path, hub id or name."""
    name = re.sub(r"[^\w.-]+", "-", Path(path.rstrip("/")).name).lstrip(".-")
    return name[:MAX_NAME] or NAMELESS
