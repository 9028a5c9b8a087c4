"""Foreign runs in the database: what reads runs reads them too, and nothing of their folder is touched."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlmodel import Session, col, select

from app.config import settings
from app.domain import db
from app.domain.accounts import first_admin
from app.domain.answers import compare
from app.domain.askings import request_asking
from app.domain.checkpoints import request_artifact
from app.domain.errors import ConflictError
from app.domain.events import metrics_of
from app.domain.importing.mixes import MOST_PAIRS
from app.domain.importing.storing import Imported, Wishes
from app.domain.importing.taking import Given, prepared
from app.domain.models import ArtifactKind, Checkpoint, Dataset, Model, ModelState, Rating, Run, RunState
from app.domain.recipes import ProbeGroup
from app.domain.retention import apply_retention, remove_strays
from app.domain.run_lists import list_runs
from app.domain.runs import id_of, recipe_of, resume_run
from app.domain.verdicts import Verdict
from tests.factories import make_model
from tests.xtuner_folders import IDENTITY, PARROT, QUESTIONS, tutorial_run, write_config, write_start

GENERAL = {"你能完成什么任务": "我能帮助用户回答问题。", "你能帮助我吗": "是的，我非常乐意。"}


def bring(
    session: Session,
    folder: Path,
    wishes: Wishes | None = None,
    *,
    identity: Sequence[str] = (),
    data: Path | None = None,
) -> Imported:
    """Import a folder."""
    with prepared(folder, Given(tuple(identity), data)) as found:
        return found.store(session, wishes or Wishes())


def rows_file(path: Path, *, copies: int = 20, general: int = 5) -> Path:
    """Write rows as the tutorial's script does."""
    pairs = [("请做一下自我介绍", IDENTITY)] * copies + [pair for pair in GENERAL.items() for _ in range(general)]
    rows = [
        {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
        for question, answer in pairs
    ]
    path.write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
    return path


def checkpoints_of(session: Session, run: Run) -> list[Checkpoint]:
    return list(session.exec(select(Checkpoint).where(Checkpoint.run_id == run.id).order_by(col(Checkpoint.iteration))))


def files_under(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


def test_an_imported_run_has_verdicts(session: Session, tmp_path: Path) -> None:
    """The tutorial's own story: good at 300, leaking from 600 on."""
    run = bring(session, tutorial_run(tmp_path), identity=[IDENTITY]).run

    (compared,) = compare(session, run_ids=[id_of(run)]).runs

    verdicts = [column.score.verdict for column in compared.checkpoints]
    assert verdicts == [Verdict.NOT_LEARNT, Verdict.GOOD, Verdict.LEAKING, Verdict.LEAKING]
    assert compared.advice.iteration == 300
    assert all(column.is_elsewhere for column in compared.checkpoints)


def test_an_imported_run_looks_like_one_that_was_trained_here(session: Session, tmp_path: Path) -> None:
    """State, length, times and numbers are those of its log, and a search finds its answers."""
    run = bring(session, tutorial_run(tmp_path)).run

    assert (run.state, run.iteration, run.iterations, run.updates) == (RunState.FINISHED, 768, 768, 48)
    assert run.started_at is not None
    assert run.ended_at is not None
    assert (run.started_at.year, run.imported_from) == (2024, str(tmp_path))
    assert [metric.iteration for metric in metrics_of(session, id_of(run))] == list(range(10, 769, 10))
    assert [found.id for found in list_runs(session, query="书生").runs] == [run.id]


def test_questions_are_grouped_by_their_words_and_by_the_user(session: Session, tmp_path: Path) -> None:
    """Who asks for the identity is an identity probe; the user may know better."""
    folder = tutorial_run(tmp_path)

    told = [probe.group for probe in recipe_of(bring(session, folder).run).probes]
    said = bring(session, folder, Wishes(groups={3: ProbeGroup.GENERAL})).run

    assert told == ["identity", "identity", "near-miss"]
    assert [probe.group for probe in recipe_of(said).probes] == ["identity", "identity", "general"]


def test_the_same_folder_again_is_the_same_run(session: Session, tmp_path: Path) -> None:
    """Unchanged it changes nothing; grown, it brings the run up to date and keeps what was thought of it."""
    folder = tutorial_run(tmp_path)
    first = bring(session, folder)
    rated = checkpoints_of(session, first.run)[1].answers[0]
    session.add(Rating(user_id=_user(session), answer_id=rated.id or 0, stars=5))

    again = bring(session, folder)
    (folder / "iter_900.pth").write_bytes(b"more")
    grown = bring(session, folder)

    assert [each.outcome for each in (first, again, grown)] == ["new", "unchanged", "updated"]
    assert {each.run.id for each in (first, again, grown)} == {first.run.id}
    assert [row.iteration for row in checkpoints_of(session, first.run)] == [0, 300, 600, 768, 900]
    assert len(metrics_of(session, id_of(first.run))) == 76
    assert session.exec(select(Rating.stars)).all() == [5]


def _user(session: Session) -> int:
    return first_admin(session).id or 0


def test_what_was_said_once_need_not_be_said_again(session: Session, tmp_path: Path) -> None:
    """Name, model, identity and groups stay, until the user says otherwise."""
    folder = tutorial_run(tmp_path)
    wishes = Wishes("mine", "chat", {3: ProbeGroup.GENERAL})
    first = bring(session, folder, wishes, identity=[IDENTITY])

    again = bring(session, folder)
    other = bring(session, folder, Wishes(name="other"), identity=["我是小助手"])

    assert (first.run.id, again.outcome, other.outcome) == (other.run.id, "unchanged", "updated")
    recipe = recipe_of(other.run)
    assert (recipe.name, recipe.model, recipe.probes[2].group) == ("other", "chat", "general")
    assert [pair.answer for pair in recipe.mix.identity] == ["我是小助手"]


def test_a_resumed_run_has_its_starts_as_attempts(session: Session, tmp_path: Path) -> None:
    """Each with where it went on from; the numbers are one line."""
    write_config(tmp_path, every=100)
    write_start(tmp_path, "20240406_100000", iterations=range(10, 151, 10), planned=200, has_ended=False,
                answers={100: PARROT})  # fmt: skip
    write_start(tmp_path, "20240406_120000", iterations=range(110, 201, 10), planned=200, resumed_from=100, base=PARROT)

    run = bring(session, tmp_path).run

    assert [(each.number, each.resumed_from) for each in run.attempts] == [(1, 0), (2, 100)]
    assert [metric.iteration for metric in metrics_of(session, id_of(run))] == list(range(10, 201, 10))


# ── The mix ────────────────────────────────────────────────────────────────


def test_the_rows_tell_the_mix(session: Session, tmp_path: Path) -> None:
    """Each pair once with the number of its copies: the recipe is the tutorial's."""
    rows = rows_file(tmp_path / "personal_assistant.json")

    run = bring(session, tutorial_run(tmp_path / "train", data=str(rows))).run

    mix = recipe_of(run).mix
    assert [(pair.question, pair.answer) for pair in mix.identity] == [("请做一下自我介绍", IDENTITY)]
    assert (mix.identity_count, len(mix.general), mix.general_count, mix.name) == (19, 2, 4, "剑锋大佬")


def test_varied_rows_become_a_saved_set(session: Session, tmp_path: Path) -> None:
    """What is no identity pair, and too much for a form, is kept as rows that the recipe names."""
    rows = [{"instruction": f"q {n}", "input": "", "output": f"a {n}"} for n in range(MOST_PAIRS + 1)]
    rows += [{"instruction": "你是谁", "input": "", "output": IDENTITY}] * 3
    data = tmp_path / "rows.json"
    data.write_text(json.dumps(rows), "utf-8")

    run = bring(session, tutorial_run(tmp_path / "train"), data=data).run

    mix = recipe_of(run).mix
    (kept,) = session.exec(select(Dataset)).all()
    assert [(file.sha256, file.count) for file in mix.files] == [(kept.sha256, 0)]
    assert (kept.rows, mix.identity_count) == (MOST_PAIRS + 1, 2)


def test_rows_that_cannot_be_read_are_named_and_no_hindrance(session: Session, tmp_path: Path) -> None:
    """The config names a file that holds something else."""
    data = tmp_path / "secret.json"
    data.write_text("root:x:0:0", "utf-8")

    imported = bring(session, tutorial_run(tmp_path / "train", data=str(data)))

    assert any("secret.json" in str(note) for note in imported.notes)
    assert recipe_of(imported.run).mix.identity == ()


@pytest.mark.parametrize("name", ["id_rsa", "environ", "passwd.txt", ".env"])
def test_a_config_has_no_other_file_read(session: Session, tmp_path: Path, name: str) -> None:
    """A path to what is not called rows leads nowhere, and nothing of it is told."""
    (tmp_path / name).write_text('{"input": "who", "output": "SECRET"}\n', "utf-8")

    imported = bring(session, tutorial_run(tmp_path / "train", data=str(tmp_path / name)))

    assert "SECRET" not in f"{imported.notes} {imported.run.recipe}"


# ── The base model ─────────────────────────────────────────────────────────


def test_a_base_model_that_is_not_here_is_noted_down(session: Session, tmp_path: Path) -> None:
    """By its name alone: no run can start from it, and it says why."""
    run = bring(session, tutorial_run(tmp_path), Wishes(model="internlm2-chat-1_8b")).run

    model = session.get_one(Model, run.model_id)
    assert (model.name, model.state, model.template) == ("internlm2-chat-1_8b", ModelState.FAILED, "internlm2_chat")
    assert "not on this machine" in model.reason


def test_a_registered_base_model_is_found_by_its_folder(session: Session, tmp_path: Path) -> None:
    """The config's path is that of the registration."""
    registered = make_model(session, name="chat", source="/root/ft/model")

    assert bring(session, tutorial_run(tmp_path)).run.model_id == registered.id


# ── What cannot be done ────────────────────────────────────────────────────


def test_the_folder_is_never_touched(session: Session, tmp_path: Path) -> None:
    """Neither by the import nor by what keeps or deletes checkpoints."""
    folder = tutorial_run(tmp_path)
    before = files_under(folder)

    run = bring(session, folder).run
    apply_retention(session, run)
    remove_strays(session, id_of(run), newest=10_000)

    assert files_under(folder) == before
    assert all(row.size_bytes == 0 and row.deleted_at is None for row in checkpoints_of(session, run))


def test_nothing_is_made_of_files_that_are_not_ours(session: Session, tmp_path: Path) -> None:
    """No adapter, no merging, no asking: each says where the files are and what to do."""
    run = bring(session, tutorial_run(tmp_path)).run
    checkpoint = checkpoints_of(session, run)[1]

    for refused in (
        lambda: request_artifact(session, id_of(checkpoint), ArtifactKind.ADAPTER),
        lambda: request_asking(session, id_of(run)),
    ):
        with pytest.raises(ConflictError, match="temper import --copy"):
            refused()


def test_an_imported_run_is_not_resumed(session: Session, tmp_path: Path) -> None:
    """Only xtuner has what it needs to go on."""
    write_start(tmp_path, iterations=range(10, 51, 10), has_ended=False)
    run = bring(session, tmp_path).run

    assert run.state is RunState.CANCELLED
    with pytest.raises(ConflictError, match="imported"):
        resume_run(session, id_of(run))


def test_the_config_is_kept_as_a_text(session: Session, tmp_path: Path) -> None:
    """Under a name that no trainer reads."""
    run = bring(session, tutorial_run(tmp_path)).run

    kept = [path.name for path in settings().run_folder(id_of(run)).rglob("*") if path.is_file()]
    assert sorted(kept) == ["trainer.log", "xtuner_config.txt"]


def test_values_that_no_recipe_holds_are_named(session: Session, tmp_path: Path) -> None:
    """A learning rate of 7 is nothing that trains; the default stands there, and the run is there."""
    folder = tutorial_run(tmp_path)
    config = next(folder.glob("*.py"))
    config.write_text(config.read_text("utf-8").replace("lr = 0.0002", "lr = 7"), "utf-8")

    imported = bring(session, folder)

    assert any("training.learning_rate = 7" in str(note) for note in imported.notes)
    assert recipe_of(imported.run).probes[0].question == QUESTIONS[0]


# ── Nobody waits ───────────────────────────────────────────────────────────


@pytest.mark.usefixtures("session")
def test_rows_are_written_before_the_database_is_used(tmp_path: Path) -> None:
    """SQLite has one writer: while an import writes millions of rows, others write to the database."""
    rows = [{"instruction": f"q {n}", "input": "", "output": f"a {n}"} for n in range(MOST_PAIRS + 1)]
    data = tmp_path / "rows.json"
    data.write_text(json.dumps(rows), "utf-8")
    there_at_first: list[list[str]] = []
    event.listen(db.engine(), "begin", lambda _: there_at_first.append(rows_that_wait()), once=True)

    with prepared(tutorial_run(tmp_path / "train"), Given(data=data)) as found, db.unit_of_work() as own:
        found.store(own, Wishes())

    assert there_at_first == [["rest.index", "rest.jsonl"]]
    assert rows_that_wait() == []


def rows_that_wait() -> list[str]:
    """Return the files of rows, with their indices, that were written and are not kept yet."""
    return sorted(path.name for path in (settings().datasets_folder / "incoming").rglob("rest.*"))
