"""What is found in a work folder of xtuner's, whatever version wrote it and however it was resumed."""

from pathlib import Path

import pytest

from app.domain.errors import InvalidError
from app.domain.importing.found import FileKind, FoundRun
from app.domain.importing.reading import read_work_folder
from app.domain.importing.storing import state_of
from app.domain.models import RunState
from tests.xtuner_folders import (
    BASE,
    HELPING,
    IDENTITY,
    LEARNT,
    PARROT,
    QUESTIONS,
    tutorial_run,
    write_config,
    write_shards,
    write_start,
)


def said(found: FoundRun) -> dict[int, list[str]]:
    """Return what each checkpoint answered."""
    return {each.iteration: [answer.text for answer in each.said] for each in found.checkpoints}


def test_answers_belong_to_the_checkpoint_that_is_one_further(tmp_path: Path) -> None:
    """`eval_outputs_iter_299.txt` is what `iter_300.pth` said."""
    found = read_work_folder(tutorial_run(tmp_path / "train"))

    assert said(found) == {0: [*BASE], 300: [*LEARNT], 600: [*PARROT], 768: [*PARROT]}
    assert [each.name for each in found.checkpoints] == ["", "iter_300.pth", "iter_600.pth", "iter_768.pth"]


def test_answers_come_without_prompt_markers_and_end(tmp_path: Path) -> None:
    """What was asked is apart from what was answered, and both are plain text."""
    found = read_work_folder(tutorial_run(tmp_path / "train"))

    first = found.checkpoints[1].said[0]
    assert (first.question, first.text, first.ended) == (QUESTIONS[0], IDENTITY, "stop")


def test_the_settings_are_those_of_the_config(tmp_path: Path) -> None:
    """Method, learning rate, LoRA, length and cadence are read without running a line of it."""
    found = read_work_folder(tutorial_run(tmp_path / "train"))

    config = found.config
    assert config is not None
    assert (found.name, config.model, config.template) == (
        "internlm2_1_8b_qlora_alpaca_e3_copy",
        "/root/ft/model",
        "internlm2_chat",
    )
    assert config.values["method"] == "qlora"
    assert config.values["training"]["learning_rate"] == 2e-4
    assert config.values["training"]["lora"] == {"r": 64, "alpha": 16, "dropout": 0.1}
    assert config.values["checkpoints"] == {"every": 300, "keep": 3}


def test_numbers_have_the_iteration_of_the_log(tmp_path: Path) -> None:
    """Loss, rate, time and memory of every line; a day in the time left disturbs nothing."""
    found = read_work_folder(tutorial_run(tmp_path / "train"))

    (start,) = found.starts
    first = start.measured[10]
    assert (first.loss, first.learning_rate, first.seconds, first.memory_bytes) == (
        0.35,
        1.9863e-4,
        2.7048,
        13969 << 20,
    )
    assert (len(start.measured), found.iterations) == (76, 768)


def test_numbers_of_the_scalars_go_before_those_of_the_log(tmp_path: Path) -> None:
    """`scalars.json` is JSON lines, more exact, and may hold a bare NaN."""
    folder = tutorial_run(tmp_path / "train")
    numbers = folder / "20240406_203957" / "vis_data" / "scalars.json"
    lines = (
        '{"lr": 1e-4, "data_time": 0.1, "loss": 0.351234, "time": 2.5, "grad_norm": NaN, "iter": 10, "memory": 5}\n'
        'no json\n[1]\n{"iter": true, "loss": 1}\n{"loss": NaN, "lr": 1e-4, "iter": 20, "step": 20}\n'
    )
    numbers.write_text(lines, "utf-8")

    start = read_work_folder(folder).starts[0]

    assert (start.measured[10].loss, start.measured[10].grad_norm) == (0.351234, None)
    assert start.measured[20].loss is None


@pytest.mark.parametrize("with_year", [True, False], ids=["year", "no year"])
def test_times_are_those_of_the_log(tmp_path: Path, *, with_year: bool) -> None:
    """Older logs leave the year out: the folder's name has it, also past New Year's Eve."""
    write_start(tmp_path, "20231231_235900", with_year=with_year)

    (start,) = read_work_folder(tmp_path).starts

    assert start.began_at is not None
    assert start.ended_at is not None
    assert (start.began_at.year, start.ended_at.year) == (2023, 2024)


# ── Resumed runs ───────────────────────────────────────────────────────────


def test_a_resumed_run_is_one_line(tmp_path: Path) -> None:
    """What was trained beyond the checkpoint, and then again, counts once: as it was the second time."""
    write_config(tmp_path, every=100)
    first = {100: HELPING, 200: PARROT}
    write_start(tmp_path, "20240406_100000", iterations=range(10, 251, 10), planned=300, answers=first, has_ended=False)
    write_start(
        tmp_path,
        "20240406_120000",
        iterations=range(110, 301, 10),
        planned=300,
        resumed_from=100,
        base=HELPING,
        answers={200: LEARNT, 300: PARROT},
    )

    found = read_work_folder(tmp_path)

    assert [(start.resumed_from, len(start.measured)) for start in found.starts] == [(0, 10), (100, 20)]
    assert said(found) == {0: [*BASE], 100: [*HELPING], 200: [*LEARNT], 300: [*PARROT]}


def test_a_resumed_start_is_not_taken_for_the_base_model(tmp_path: Path) -> None:
    """It answers before it trains too, and that is its checkpoint."""
    write_config(tmp_path, every=100)
    write_start(tmp_path, iterations=range(110, 201, 10), planned=200, resumed_from=100, base=HELPING)

    assert 0 not in said(read_work_folder(tmp_path))


def test_a_start_that_never_trained_takes_nothing_away(tmp_path: Path) -> None:
    """Who starts again in the same folder and fails at once has lost nothing."""
    tutorial_run(tmp_path)
    write_start(tmp_path, "20240407_080000", iterations=range(0), has_ended=False)

    found = read_work_folder(tmp_path)

    assert [start.name for start in found.starts] == ["20240406_203957"]
    assert state_of(found) is RunState.FINISHED


def test_where_a_start_went_on_is_told_by_its_numbers_if_its_log_is_silent(tmp_path: Path) -> None:
    """Its first iteration is beyond a checkpoint that is there."""
    write_config(tmp_path, every=100)
    write_start(tmp_path, "20240406_100000", iterations=range(10, 151, 10), planned=200, has_ended=False)
    (tmp_path / "iter_100.pth").write_bytes(b"")
    write_start(tmp_path, "20240406_120000", iterations=range(110, 201, 10), planned=200)

    found = read_work_folder(tmp_path)

    assert [start.resumed_from for start in found.starts] == [0, 100]


# ── Other layouts ──────────────────────────────────────────────────────────


def test_a_folder_of_shards_is_a_checkpoint(tmp_path: Path) -> None:
    """DeepSpeed writes a folder where others write a file, and a program beside it that is no config."""
    write_config(tmp_path)
    write_start(tmp_path, answers={300: LEARNT})
    write_shards(tmp_path, 300)

    found = read_work_folder(tmp_path)

    shards = next(each for each in found.checkpoints if each.iteration == 300)
    assert (shards.kind, shards.size_bytes) == (FileKind.SHARDS, 30)
    assert found.config is not None
    assert found.config.name.startswith("internlm2")


def test_answers_outlive_their_checkpoint(tmp_path: Path) -> None:
    """`save_total_limit` deletes files, never what was said."""
    folder = tutorial_run(tmp_path)
    (folder / "iter_300.pth").unlink()

    checkpoints = {each.iteration: each for each in read_work_folder(folder).checkpoints}

    assert checkpoints[300].kind is FileKind.NONE
    assert checkpoints[300].said


def test_answers_that_only_the_log_has_are_taken(tmp_path: Path) -> None:
    """Asked more often than saved: xtuner writes a file at saves alone."""
    folder = tutorial_run(tmp_path)
    for path in folder.rglob("eval_outputs_iter_*.txt"):
        path.unlink()

    assert said(read_work_folder(folder))[300] == [*LEARNT]


def test_a_run_that_saved_by_epochs_has_iterations(tmp_path: Path) -> None:
    """Before 0.1.14 a checkpoint is named by its epoch; the log says how long one is."""
    write_start(tmp_path, iterations=range(0), has_ended=False)
    line = "2024/01/07 10:00:00 - mmengine - INFO - Epoch(train)  [2][ 10/384]  lr: 1.0e-04  loss: 0.5  time: 1.0\n"
    with (tmp_path / "20240406_203957" / "20240406_203957.log").open("a") as log:
        log.write(line)
    (tmp_path / "epoch_2.pth").write_bytes(b"")

    found = read_work_folder(tmp_path)

    assert [each.iteration for each in found.checkpoints if each.name] == [768]
    assert list(found.starts[0].measured) == [394]


def test_a_copied_config_will_do(tmp_path: Path) -> None:
    """Without a config beside the checkpoints, the one that the start wrote down is read."""
    folder = tutorial_run(tmp_path)
    config = folder / "internlm2_1_8b_qlora_alpaca_e3_copy.py"
    config.rename(folder / "20240406_203957" / "vis_data" / "config.py")

    found = read_work_folder(folder)

    assert found.config is not None
    assert found.config.template == "internlm2_chat"


def test_a_run_that_failed_says_so(tmp_path: Path) -> None:
    """The last thing in its log is why."""
    write_start(tmp_path, iterations=range(10, 101, 10), has_ended=False)
    log = tmp_path / "20240406_203957" / "20240406_203957.log"
    log.write_text(log.read_text("utf-8") + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate\n", "utf-8")

    assert state_of(read_work_folder(tmp_path)) is RunState.FAILED


@pytest.mark.parametrize("names", [(), ("notes.txt",), ("sub/iter_3.pth",)], ids=["empty", "other", "one below"])
def test_a_folder_without_a_run_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    """It says so, and names the folder that may have been meant."""
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")

    with pytest.raises(InvalidError) as refused:
        read_work_folder(tmp_path)

    assert ("sub" in str(refused.value.fields[0].message)) == ("sub/iter_3.pth" in names)
