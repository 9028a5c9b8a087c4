"""
The models that runs may start from: registered by an admin, linked and never copied.

A local folder is linked under `TEMPER_HOME/models`. One in InternLM2's layout is laid out anew
as Llama by a worker first. A hub id is used from the hub's own cache on this machine; nothing
is downloaded here, so that a registration answers at once.
"""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sqlmodel import Session, col, func, select

from app.config import settings
from app.domain import audit, db
from app.domain.approvals import approve, needs_review, review, what_is_needed
from app.domain.errors import ConflictError, FieldError, InvalidError, NotFoundError
from app.domain.messages import Message, message
from app.domain.model_dangers import dangers_of
from app.domain.model_folders import ModelFacts, read_model, refuse
from app.domain.models import Model, ModelState, Run
from app.domain.queue import enqueue
from app.domain.xtuner_config import TEMPLATES

MAX_NAME = 80  # characters; it becomes the name of a folder
_NAME = re.compile(rf"\w[\w.-]{{0,{MAX_NAME - 1}}}")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Approval:
    """What an admin says to a folder's dangerous files: these, by their hash."""

    sha256: str
    by: str


@dataclass(frozen=True)
class FoundModel:
    """A model that can be registered: where it is, what it is, and what it may be called."""

    folder: Path
    name: str
    facts: ModelFacts


def list_models(session: Session) -> Sequence[Model]:
    """Return every registered model, by name."""
    return session.exec(select(Model).order_by(func.lower(Model.name))).all()


def get_model(session: Session, model_id: int) -> Model:
    """Return a model; NotFoundError when there is none."""
    model = session.get(Model, model_id)
    if model is None:
        raise NotFoundError(message("There is no model {id}.", id=model_id))
    return model


def find_model(session: Session, name: str) -> Model | None:
    """Return the model of a name."""
    return session.exec(select(Model).where(Model.name == name)).first()


def problem_of(name: str, model: Model | None) -> Message | None:
    """Say why no run can start from the model of this name; None when one can."""
    if model is None:
        return message("There is no model named “{name}”. Register it on the Models page first.", name=name)
    if model.state is ModelState.PREPARING:
        return message("The model “{name}” is still being prepared.", name=name)
    if model.state is ModelState.FAILED:
        return message("The model “{name}” could not be prepared: {reason}", name=name, reason=model.reason)
    return None


def model_to_train(session: Session, name: str) -> Model:
    """Return the model that a run may start from; InvalidError at `model` when it cannot."""
    model = find_model(session, name)
    problem = problem_of(name, model)
    if problem is not None:
        raise InvalidError([FieldError("model", problem)])
    model = cast("Model", model)  # a model that is missing is a problem
    if needs_review(session, model):
        text = message(
            "The model “{name}” holds files that no admin has approved. An admin looks at them on the Models page.",
            name=name,
        )
        raise InvalidError([FieldError("model", text)])
    return model


# ── Registering ────────────────────────────────────────────────────────────


def look_at(source: str) -> FoundModel:
    """
    Read what is at a folder or behind a hub id.

    Raises:
        InvalidError: at `source`, saying why runs cannot start from it.
    """
    source = source.strip()
    if not source:
        raise refuse(message("Give a folder on this machine, or a hub id such as owner/name."))
    try:
        return _look_at(source)
    except RuntimeError:  # `~nobody`
        raise refuse(message("This path begins with the home of a user who is not on this machine.")) from None
    except OSError as error:
        raise refuse(message("This path cannot be read: {problem}.", problem=error.strerror or "")) from None


def _look_at(source: str) -> FoundModel:
    folder = Path(source).expanduser()
    is_hub_id = _HUB_ID.fullmatch(source) is not None and not folder.exists()
    if is_hub_id:
        folder = _cached(source)
    elif not folder.is_absolute():
        raise refuse(message("Give the whole path of the folder, from / on."))
    facts = read_model(folder)
    dangers_of(folder)  # refuses what nobody can approve, before anybody is asked to
    return FoundModel(folder=folder, name=_proposed_name(source), facts=facts)


def hub_cache() -> Path:
    """Return where the hub's own tools keep what they fetch on this machine."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    return Path(os.environ.get("HF_HUB_CACHE", home / "hub"))


def _cached(hub_id: str) -> Path:
    """Return the newest snapshot of a hub id in the hub's cache on this machine."""
    cache = hub_cache()
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    main = repository / "refs" / "main"
    if main.is_file():
        return repository / "snapshots" / main.read_text("utf-8").strip()
    raise refuse(
        message(
            "{id} is neither a folder nor in this machine's hub cache ({cache}). Fetch it first: hf download {id}",
            id=hub_id,
            cache=str(cache),
        )
    )


def _proposed_name(source: str) -> str:
    name = re.sub(r"[^\w.-]+", "-", Path(source.rstrip("/")).name).lstrip(".-")
    return name[:MAX_NAME] or "model"


def register_model(
    session: Session, *, source: str, name: str = "", template: str = "", approval: Approval | None = None
) -> Model:
    """
    Register a model; one in InternLM2's layout is handed to a worker first.

    Args:
        source: A folder on this machine, or a hub id that is in its cache.
        name: What recipes call it; the folder's own name when empty.
        template: xtuner's name of the prompt template; the proposed one when empty.
        approval: what an admin says to the files that could run code, where there are any.

    Raises:
        InvalidError: naming each of `source`, `name`, `template` and `approve` that needs another value.
    """
    problems: list[FieldError] = []
    found = _look_or_note(source, problems)
    name = name.strip() or (found.name if found else "")
    problems += _name_problems(session, name) if name else []
    if template and template not in TEMPLATES:
        problems.append(FieldError("template", message("xtuner has no prompt template “{name}”.", name=template)))
    if found is not None and not problems:
        problems += _unapproved(session, found, source=source.strip(), approval=approval)
    if found is None or problems:
        raise InvalidError(problems)
    return _store(session, found, source=source.strip(), name=name, template=template or found.facts.template)


def _unapproved(session: Session, found: FoundModel, *, source: str, approval: Approval | None) -> Sequence[FieldError]:
    """Store the approval of what has to be approved; where that is missing or of other files, say so."""
    looked_at = review(session, found.folder)
    if not looked_at.is_needed:
        return ()
    if approval is None or approval.sha256 != looked_at.sha256:
        return (FieldError("approve", what_is_needed(looked_at)),)
    approve(session, found.folder, sha256=approval.sha256, source=source, by=approval.by)
    return ()


def _look_or_note(source: str, problems: list[FieldError]) -> FoundModel | None:
    try:
        return look_at(source)
    except InvalidError as error:
        problems += error.fields
        return None


def _name_problems(session: Session, name: str) -> list[FieldError]:
    if _NAME.fullmatch(name) is None:
        text = message(
            "Use up to {limit} letters, digits, dots, dashes and underscores, a letter first.", limit=MAX_NAME
        )
        return [FieldError("name", text)]
    taken = session.exec(select(Model.id).where(func.lower(Model.name) == name.lower())).first()
    return [_taken(name)] if taken is not None else []


def _taken(name: str) -> FieldError:
    return FieldError("name", message("There is a model named “{name}” already.", name=name))


def _store(session: Session, found: FoundModel, *, source: str, name: str, template: str) -> Model:
    facts, link = found.facts, settings().models_folder / name
    is_linked = not facts.must_be_laid_out_anew
    if is_linked:
        _check_free(link, found.folder)
    wanted = Model(
        name=name,
        source=source if is_linked else str(found.folder),  # the worker reads a folder
        path=str(link) if is_linked else "",
        template=template,
        architecture=facts.architecture,
        parameters=facts.parameters,
        size_bytes=facts.size_bytes,
        state=ModelState.READY if is_linked else ModelState.PREPARING,
    )
    model = db.add_once(session, wanted, key=["name"])  # before the link: of two at once one links
    if model is None:
        raise InvalidError([_taken(name)])
    settings().models_folder.mkdir(parents=True, exist_ok=True)
    audit.note("model", model.id, name=name, source=source)
    if is_linked:
        _link(link, found.folder.resolve())  # it may be the old link itself
    else:
        enqueue("models.prepare", model_id=model.id or 0)
    return model


def _check_free(link: Path, folder: Path) -> None:
    """Refuse a name whose folder is there and is another one than that to be linked."""
    if not link.is_symlink() and link.exists() and link.resolve() != folder.resolve():
        raise InvalidError([FieldError("name", message("There is a folder {folder} already.", folder=str(link)))])


def _link(link: Path, target: Path) -> None:
    """Link a folder under the models' own; a folder that is there already, as `make demo` leaves it, stays."""
    if link.is_symlink():
        link.unlink()
    if link.resolve() != target:
        link.symlink_to(target, target_is_directory=True)


# ── Removing ───────────────────────────────────────────────────────────────


def count_runs_of(session: Session) -> dict[int, int]:
    """Count the runs of each model that has any."""
    return dict(session.exec(select(Run.model_id, func.count()).group_by(col(Run.model_id))).all())


def remove_model(session: Session, model_id: int) -> None:
    """
    Forget a model: its link goes, or the copy that was laid out anew; never the folder that was registered.

    Raises:
        ConflictError: runs were made from it, or a worker is preparing it.
    """
    model = get_model(session, model_id)
    runs = count_runs_of(session).get(model_id, 0)
    if runs:
        raise ConflictError(message("{name} cannot be removed: {runs} runs use it.", name=model.name, runs=runs))
    if model.renewed_at is not None:
        raise ConflictError(message("{name} is being prepared now. Try again when that is done.", name=model.name))
    audit.note("model", model_id, name=model.name)
    session.delete(model)
    session.flush()  # a run that came meanwhile is found here, before any file goes
    _remove_files(model)


def _remove_files(model: Model) -> None:
    path = settings().models_folder / model.name
    if path.is_symlink():
        path.unlink()
    elif path.is_dir() and path.resolve() != Path(model.source).expanduser().resolve():
        shutil.rmtree(path)
