"""
A foreign run in the database: its rows are those of any run, so that all that reads runs reads it too.

What xtuner wrote becomes the events that Temper's own trainer would have told. The same folder again is the
same run: what has changed in it is taken over, what was thought of answers that did not change stays, and what
the folder no longer tells of goes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlmodel import Session, col, delete, select

from app.config import settings
from app.domain.columns import utc_now
from app.domain.datasets.store import checked_name, keep_version
from app.domain.datasets.uses import note_uses, take_turns
from app.domain.events import ingest
from app.domain.importing.bases import base_of
from app.domain.importing.earlier import keep, put_back, written_in
from app.domain.importing.found import FileKind, FoundMix, FoundRun, Start
from app.domain.importing.mixes import Rest
from app.domain.importing.questions import groups_of
from app.domain.importing.recipes import recipe_from
from app.domain.importing.telling import ProbePositions, Teller
from app.domain.logs import log_path
from app.domain.messages import Message
from app.domain.models import Attempt, Event, ReasonKind, Run, RunDataset, RunProbe, RunState
from app.domain.recipes import FileSource, ProbeGroup, Recipe
from app.domain.runs import id_of, record_state
from app.domain.taught import folded
from app.domain.texts import storable

WORKER = "xtuner"  # who trained it, where a run of Temper's own names its worker
CONFIG_TEXT = "xtuner_config.txt"  # in the run's folder: a text, whatever it was
NEWS = "imported"  # the kind of the ledger's line


@dataclass(frozen=True)
class Wishes:
    """What the user says of a run that its folder does not."""

    name: str = ""
    model: str = ""
    groups: dict[int, ProbeGroup] | None = None
    """Of questions, by their number from 1."""


@dataclass(frozen=True)
class Imported:
    """What an import came to."""

    run: Run
    outcome: Literal["new", "updated", "unchanged"]
    notes: tuple[Message, ...]


def asked_in(found: FoundRun) -> list[str]:
    """Return the questions of a run: the config's, then those that only the answers show."""
    questions = list(found.config.questions) if found.config else []
    questions += [said.question for each in found.checkpoints for said in each.said]
    return [question.strip() for question in dict.fromkeys(questions) if question.strip()]


def plan_recipe(found: FoundRun, mix: FoundMix, wishes: Wishes, *, model: str) -> tuple[Recipe, tuple[Message, ...]]:
    """Return the recipe that a run is stored with, and all that is to be said of it."""
    taught = [pair.question for pair in mix.mix.identity]
    probes = groups_of(asked_in(found), taught, wishes.groups or {})
    recipe, notes = recipe_from(found, mix, name=wishes.name or found.name, model=model, probes=probes)
    return recipe, (*found.notes, *mix.notes, *notes)


def store_run(session: Session, found: FoundRun, mix: FoundMix, wishes: Wishes, *, rest: Rest | None) -> Imported:
    """
    Store a run that was found in a work folder.

    Args:
        rest: rows that are no pairs of the mix, written already: they become a saved set.
    """
    take_turns(session)  # two imports of one folder at once make one run
    # Locked: who answers what was asked of it waits meanwhile.
    run = session.exec(select(Run).where(Run.imported_from == found.folder).with_for_update()).first()
    if run is not None:
        wishes, mix = _as_before(run, asked_in(found), wishes, mix)
    model = base_of(session, found.config, wishes.model)
    recipe, notes = plan_recipe(found, mix, wishes, model=model.name)
    recipe = _with_rest(session, recipe, mix, rest)
    data = recipe.model_dump(mode="json")
    before = _news_of(session, run) if run else {}
    if run is not None and before.get("fingerprint") == found.fingerprint and run.recipe == data:
        return Imported(run, "unchanged", notes)
    outcome: Literal["new", "updated"] = "new" if run is None else "updated"
    run = run or Run(name=recipe.name, model_id=id_of(model), recipe=data, imported_from=found.folder)
    is_same_base = run.model_id == model.id
    run.name, run.model_id, run.recipe = recipe.name, id_of(model), data
    session.add(run)
    session.flush()  # everything else names the run's id
    _forget_ledger(session, run)
    _store_uses(session, run, recipe)
    probes = _store_probes(session, run, recipe)
    written = before.get("written", {})
    kept = keep(session, run, found, probes, written=written, is_same_base=is_same_base)
    _tell(session, run, found, Teller(recipe, found.iterations, probes, kept.given))
    put_back(session, run, kept)
    _record_news(session, run, found, {"written": written_in(found, written), "notes": plain_notes(notes)})
    _keep_texts(run, found)
    return Imported(run, outcome, notes)


def _as_before(run: Run, asked: Sequence[str], wishes: Wishes, mix: FoundMix) -> tuple[Wishes, FoundMix]:
    """Return what is wished, and the mix: what the user does not say this time is as it was said the last time."""
    before = Recipe.model_validate(run.recipe)
    groups = {folded(probe.question).text: probe.group for probe in before.probes}
    known = {
        number: groups[words]
        for number, question in enumerate(asked, start=1)
        if (words := folded(question).text) in groups
    }
    if before.mix.identity and not mix.mix.identity:
        mix = FoundMix(before.mix, mix.rows)
    return Wishes(wishes.name or run.name, wishes.model or run.model.name, {**known, **(wishes.groups or {})}), mix


def _with_rest(session: Session, recipe: Recipe, mix: FoundMix, rest: Rest | None) -> Recipe:
    """Keep the rows that are no pairs as a saved set, and name it."""
    if not mix.rest or rest is None:
        return recipe
    name = checked_name(f"{recipe.name[:100]} rows")
    kept = keep_version(session, name=name, intake=rest.intake, rows=rest.rows, source_name=rest.source_name).dataset
    source = FileSource(dataset=kept.name, sha256=kept.sha256)
    return recipe.model_copy(update={"mix": recipe.mix.model_copy(update={"files": (source,)})})


# ── What was there before ──────────────────────────────────────────────────


def _news_of(session: Session, run: Run) -> dict[str, Any]:
    told = select(Event.data).where(Event.run_id == run.id, Event.kind == NEWS).order_by(col(Event.id).desc())
    return dict(session.exec(told).first() or {})


def _forget_ledger(session: Session, run: Run) -> None:
    session.exec(delete(Event).where(col(Event.run_id) == run.id))
    session.exec(delete(Attempt).where(col(Attempt.run_id) == run.id))
    session.exec(delete(RunDataset).where(col(RunDataset.run_id) == run.id))


def _store_uses(session: Session, run: Run, recipe: Recipe) -> None:
    note_uses(session, id_of(run), {file.sha256 for file in recipe.mix.files})


def _store_probes(session: Session, run: Run, recipe: Recipe) -> ProbePositions:
    """Store the probes that are not there yet; return the places of all by the words of their question."""
    there = {folded(probe.question).text: probe for probe in _probes_of(session, run)}
    position = max((probe.position for probe in there.values()), default=-1) + 1
    for probe in recipe.probes:
        words_asked = folded(probe.question).text
        if words_asked not in there:
            there[words_asked] = RunProbe(run_id=id_of(run), position=position, group="", question=probe.question)
            position += 1
        there[words_asked].group = probe.group
        session.add(there[words_asked])
    session.flush()  # answers need the probes' ids
    return {asked: probe.position for asked, probe in there.items()}


def _probes_of(session: Session, run: Run) -> Sequence[RunProbe]:
    return session.exec(select(RunProbe).where(RunProbe.run_id == run.id).order_by(col(RunProbe.position))).all()


# ── As a trainer tells it ──────────────────────────────────────────────────


def _tell(session: Session, run: Run, found: FoundRun, teller: Teller) -> None:
    run.iteration = run.updates = 0
    run.loss = run.seconds_per_iteration = None
    run.newest_answer, run.worker = "", WORKER
    starts = found.starts or [Start(found.name)]
    told = {at for start in starts[:-1] for at in [*start.said, *start.saved, *start.measured]}
    for number, start in enumerate(starts, start=1):
        is_last = number == len(starts)
        mine = [
            each
            for each in found.checkpoints
            if each.iteration in {*start.said, *start.saved} or (is_last and each.iteration not in told)
        ]
        attempt = _attempt(session, run, start, number)
        ingest(session, run, attempt, teller.events_of(start, mine, is_first=number == 1), size=0)
        if not is_last:
            stopped = {"state": RunState.CANCELLED}
            session.add(Event(run_id=id_of(run), attempt=number, kind="state", iteration=start.last, data=stopped))
    _end(session, run, found, starts)


def _attempt(session: Session, run: Run, start: Start, number: int) -> Attempt:
    run.attempt = number
    began = start.began_at or start.ended_at or utc_now()
    attempt = Attempt(
        run_id=id_of(run),
        number=number,
        worker=WORKER,
        resumed_from=start.resumed_from,
        started_at=began,
        ended_at=max(began, start.ended_at or began),
    )
    session.add(attempt)
    return attempt


# ── How it ended ───────────────────────────────────────────────────────────


def _end(session: Session, run: Run, found: FoundRun, starts: Sequence[Start]) -> None:
    last = starts[-1]
    run.iterations, run.iteration = found.iterations, max(run.iteration, found.iteration)
    run.updates = run.iteration // run.recipe["training"]["accumulation"]
    run.started_at = starts[0].began_at
    run.ended_at = last.ended_at or last.began_at or utc_now()
    run.state, run.phase = state_of(found), ""
    run.reason = _reason_of(last.failure) if run.state is RunState.FAILED else None
    run.reason_detail = storable(last.failure) if run.reason else ""
    session.add(run)
    record_state(session, run)


def state_of(found: FoundRun) -> RunState:
    """Return how a run ended, as far as its log and its checkpoints tell."""
    last = found.starts[-1] if found.starts else None
    if last is None or last.has_ended or found.iteration >= found.iterations:
        return RunState.FINISHED
    return RunState.FAILED if last.failure else RunState.CANCELLED


def _reason_of(failure: str) -> ReasonKind:
    is_memory = "out of memory" in failure or "OutOfMemory" in failure
    return ReasonKind.OUT_OF_GPU_MEMORY if is_memory else ReasonKind.CRASHED


def _record_news(session: Session, run: Run, found: FoundRun, told: Mapping[str, Any]) -> None:
    """Put into the ledger what was found, what its files were, and what is to be said of it."""
    files = [
        {"iteration": each.iteration, "name": each.name, "kind": each.kind, "size_bytes": each.size_bytes}
        for each in found.checkpoints
        if each.kind is not FileKind.NONE
    ]
    data = {"folder": found.folder, "fingerprint": found.fingerprint, "files": files, **told}
    data["config"] = found.config.name if found.config else ""
    session.add(Event(run_id=id_of(run), attempt=run.attempt, kind=NEWS, iteration=run.iteration, data=data))


def plain_notes(notes: Sequence[Message]) -> list[dict[str, Any]]:
    """Return sentences as JSON holds them, to be translated when they are shown."""
    return [
        {"template": note.template, "values": {key: str(value) for key, value in note.values.items()}} for note in notes
    ]


def _keep_texts(run: Run, found: FoundRun) -> None:
    """Keep the config and the end of the log in the folder of the run: texts, for pages to show."""
    texts = {settings().run_folder(id_of(run)) / CONFIG_TEXT: found.config.text if found.config else ""}
    texts[log_path(id_of(run), run.attempt)] = found.log_end
    for path, text in texts.items():
        if text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(storable(text), "utf-8", errors="replace")
