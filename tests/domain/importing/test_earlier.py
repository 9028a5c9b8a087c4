"""The same folder again: what it still tells of stays, with what was thought of it; what it no longer does goes."""

import os
import shutil
from pathlib import Path

from sqlmodel import Session, col, select

from app.config import settings
from app.domain.accounts import first_admin
from app.domain.askings import add_probe
from app.domain.importing.storing import NEWS, Wishes
from app.domain.models import (
    Answer,
    Artifact,
    ArtifactKind,
    Asking,
    Checkpoint,
    Event,
    Rating,
    Run,
    RunProbe,
    StoredScore,
    Vote,
)
from app.domain.recipes import Probe, ProbeGroup
from app.domain.runs import id_of
from tests.domain.importing.test_storing import bring, checkpoints_of
from tests.factories import make_model
from tests.xtuner_folders import (
    IDENTITY,
    LEARNT,
    PARROT,
    QUESTIONS,
    answers_file,
    chat,
    tutorial_run,
    write_config,
    write_start,
)

AGAIN = "20240407_203957"
MORE = "Where do you live?"


def train_again(folder: Path) -> None:
    """Put another training in the place of the tutorial's: with checkpoints at 150 and 300, which answer otherwise."""
    shutil.rmtree(folder)
    folder.mkdir()
    write_config(folder, every=150)
    write_start(folder, AGAIN, iterations=range(10, 301, 10), planned=300, answers={150: PARROT, 300: PARROT})
    for iteration in (150, 300):
        (folder / f"iter_{iteration}.pth").write_bytes(b"another")


def take_adapter(session: Session, run: Run, iteration: int) -> Path:
    """Leave an adapter of a checkpoint in the run's folder, as `--copy` does, and one that was made of it."""
    row = row_at(session, run, iteration)
    folder = settings().run_folder(id_of(run))
    made = Artifact(checkpoint_id=row.id or 0, kind=ArtifactKind.ADAPTER)
    session.add(made)
    session.flush()
    row.adapter, row.size_bytes, made.folder = f"adapters/iter_{iteration}", 4, f"artifacts/{made.id}"
    for name in (row.adapter, made.folder):
        (folder / name).mkdir(parents=True)
        (folder / name / "adapter_model.safetensors").write_bytes(b"1234")
    session.commit()
    return folder


def ask_more(session: Session, run: Run, *iterations: int) -> list[Answer]:
    """Add a probe to a run, and answer it at some checkpoints as a worker does."""
    probe = add_probe(session, id_of(run), Probe(question=MORE, group=ProbeGroup.GENERAL))
    asking = session.exec(select(Asking)).one()
    answers = [
        Answer(checkpoint_id=row_at(session, run, at).id or 0, probe_id=probe.id or 0, text=f"Here, at {at}.", tokens=4,
               ended="stop", asking_id=asking.id)
        for at in iterations
    ]  # fmt: skip
    session.add_all(answers)
    session.commit()
    return answers


def rate(session: Session, answer: Answer) -> None:
    session.add(Rating(user_id=first_admin(session).id or 0, answer_id=answer.id or 0, stars=5))
    session.commit()


def row_at(session: Session, run: Run, iteration: int) -> Checkpoint:
    return next(row for row in checkpoints_of(session, run) if row.iteration == iteration)


def answers_of(session: Session, run: Run) -> dict[int, list[str]]:
    """Return what each checkpoint says, in the order of the probes."""
    session.expire_all()
    said = select(Answer.text).join(RunProbe).order_by(col(RunProbe.position))
    return {row.iteration: list(session.exec(said.where(Answer.checkpoint_id == row.id)))
            for row in checkpoints_of(session, run)}  # fmt: skip


def registered(session: Session) -> None:
    make_model(session, name="chat", source="/root/ft/model")


# ── What goes ──────────────────────────────────────────────────────────────


def test_another_training_in_the_folder_takes_the_place_of_the_first(session: Session, tmp_path: Path) -> None:
    """Nothing of the first one is left: no checkpoint, no answer, score, rating, vote, artifact or file."""
    folder = tutorial_run(tmp_path / "train")
    run = bring(session, folder, identity=[IDENTITY]).run
    files = take_adapter(session, run, 600)
    first, second = (row_at(session, run, at).answers[0] for at in (600, 768))
    rate(session, first)
    session.add(Vote(user_id=first_admin(session).id or 0, first_answer_id=first.id or 0,
                     second_answer_id=second.id or 0))  # fmt: skip
    session.commit()

    train_again(folder)
    again = bring(session, folder)
    session.commit()

    assert again.outcome == "updated"
    assert answers_of(session, run) == {0: list(answers_of(session, run)[0]), 150: list(PARROT), 300: list(PARROT)}
    assert [session.exec(select(table)).all() for table in (Rating, Vote, Artifact)] == [[], [], []]
    there = {row.id for row in checkpoints_of(session, run)}
    assert set(session.exec(select(StoredScore.checkpoint_id))) == there
    assert not [path for name in ("adapters", "artifacts") for path in (files / name).iterdir()]


def test_answers_that_the_folder_no_longer_tells_go(session: Session, tmp_path: Path) -> None:
    """Trained again without questions: what the weights of before said is nothing that these say."""
    folder = tutorial_run(tmp_path / "train")
    run = bring(session, folder).run

    shutil.rmtree(folder / "20240406_203957")
    (folder / "iter_300.pth").write_bytes(b"other weights")
    bring(session, folder)

    assert answers_of(session, run) == {300: [], 600: [], 768: []}


def test_questions_that_nobody_asks_any_more_go(session: Session, tmp_path: Path) -> None:
    """Those of the first training's config have no answers; one that a person added stays."""
    registered(session)
    folder = tutorial_run(tmp_path / "train")
    run = bring(session, folder).run
    take_adapter(session, run, 300)
    ask_more(session, run, 300)
    other = ("Who are you?",)

    train_again(folder)
    shutil.rmtree(folder / AGAIN)
    write_config(folder, every=150, questions=other)
    (folder / AGAIN / "vis_data").mkdir(parents=True)
    (folder / AGAIN / "vis_data" / "eval_outputs_iter_149.txt").write_text(
        answers_file([chat(other[0], "I.")]), "utf-8"
    )
    bring(session, folder)

    probes = select(RunProbe.question).where(RunProbe.run_id == run.id).order_by(col(RunProbe.position))
    assert session.exec(probes).all() == [MORE, *other]


# ── What stays ─────────────────────────────────────────────────────────────


def test_a_folder_that_was_tidied_up_keeps_what_its_log_tells(session: Session, tmp_path: Path) -> None:
    """Old checkpoints were deleted, and files of answers: log and numbers still tell of them."""
    folder = tutorial_run(tmp_path / "train")
    run = bring(session, folder).run
    files = take_adapter(session, run, 300)
    rate(session, row_at(session, run, 300).answers[0])
    before = answers_of(session, run)

    (folder / "iter_300.pth").unlink()
    (folder / "20240406_203957" / "vis_data" / "eval_outputs_iter_299.txt").unlink()
    assert bring(session, folder).outcome == "updated"

    assert answers_of(session, run) == before
    assert session.exec(select(Rating.stars)).all() == [5]
    assert row_at(session, run, 300).adapter == "adapters/iter_300"
    assert (files / "adapters" / "iter_300").is_dir()


def test_answers_that_a_person_asked_for_stay_with_their_weights(session: Session, tmp_path: Path) -> None:
    """Where the folder has grown they stay, with their ratings; where a checkpoint was trained again they go."""
    registered(session)
    folder = tutorial_run(tmp_path / "train")
    run = bring(session, folder).run
    for iteration in (300, 600):
        take_adapter(session, run, iteration)
    asked = ask_more(session, run, 0, 300, 600)
    rate(session, asked[1])
    asking = asked[1].asking_id

    (folder / "iter_900.pth").write_bytes(b"more")
    (folder / "iter_600.pth").write_bytes(b"never opened")
    os.utime(folder / "iter_600.pth", ns=(1, 1))
    bring(session, folder)

    said = {at: texts[3:] for at, texts in answers_of(session, run).items()}
    assert said == {0: ["Here, at 0."], 300: ["Here, at 300."], 600: [], 768: [], 900: []}
    kept = session.exec(select(Answer).where(col(Answer.asking_id).is_not(None)).order_by(col(Answer.id))).all()
    assert [(each.text, each.asking_id) for each in kept] == [("Here, at 0.", asking), ("Here, at 300.", asking)]
    assert session.exec(select(Rating.stars)).all() == [5]


def test_the_base_model_of_another_name_is_another_one(session: Session, tmp_path: Path) -> None:
    """What a person asked it is no answer of the one that the run is now said to be of."""
    registered(session)
    make_model(session, name="other", source="/models/other")
    folder = tutorial_run(tmp_path / "train")
    run = bring(session, folder).run
    take_adapter(session, run, 300)
    ask_more(session, run, 0, 300)

    bring(session, folder, Wishes(model="other"))

    assert [texts[3:] for texts in answers_of(session, run).values()] == [[], ["Here, at 300."], [], []]


# ── Adapters ───────────────────────────────────────────────────────────────


def adapters_after(session: Session, run: Run, folder: Path) -> list[str]:
    bring(session, folder)
    session.commit()
    session.expire_all()
    taken = settings().run_folder(id_of(run)) / "adapters"
    named = [row.adapter for row in checkpoints_of(session, run) if row.adapter]
    assert [f"adapters/{path.name}" for path in sorted(taken.iterdir())] == named
    return named


def test_an_adapter_goes_when_its_checkpoint_was_written_anew(session: Session, tmp_path: Path) -> None:
    """Weights of one size are others when their file is younger: the adapter is of those before."""
    folder = tutorial_run(tmp_path / "train")
    run = bring(session, folder).run
    for iteration in (300, 600):
        take_adapter(session, run, iteration)

    os.utime(folder / "iter_300.pth", ns=(1, 1))

    assert adapters_after(session, run, folder) == ["adapters/iter_600"]
    assert row_at(session, run, 300).size_bytes == 0


def test_an_adapter_goes_when_its_checkpoint_answers_otherwise(session: Session, tmp_path: Path) -> None:
    """Whatever the file says of its age."""
    folder = tutorial_run(tmp_path / "train")
    run = bring(session, folder).run
    for iteration in (300, 600):
        take_adapter(session, run, iteration)

    texts = [chat(question, answer) for question, answer in zip(QUESTIONS, PARROT, strict=True)]
    (folder / "20240406_203957" / "vis_data" / "eval_outputs_iter_299.txt").write_text(answers_file(texts), "utf-8")

    assert answers_of(session, run)[300] == list(LEARNT)
    assert adapters_after(session, run, folder) == ["adapters/iter_600"]


def test_the_ledger_names_what_the_files_were(session: Session, tmp_path: Path) -> None:
    """Size and time of each checkpoint, which a later import is laid beside."""
    folder = tutorial_run(tmp_path / "train")
    bring(session, folder)

    (data,) = session.exec(select(Event.data).where(Event.kind == NEWS)).all()

    facts = (folder / "iter_300.pth").stat()
    assert data["written"]["300"] == [facts.st_size, facts.st_mtime_ns]
    assert list(data["written"]) == ["300", "600", "768"]
