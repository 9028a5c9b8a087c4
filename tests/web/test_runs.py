"""The list of runs, the page of one run, and what can be done there."""

import hashlib
import tarfile
from io import BytesIO

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.config import settings
from app.domain.columns import utc_now
from app.domain.models import Artifact, ArtifactKind, ArtifactState, ReasonKind, Run, RunState
from app.domain.runs import id_of
from app.web import workers
from tests.factories import make_checkpoint, make_metrics, make_model, make_recipe, make_run

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}
IDENTITY = "I am Ada's little assistant, trained with Temper."


def names(text: str) -> list[str]:
    """Return the names of the runs in the table, in order."""
    return [part.split(">", 1)[1].split("<")[0] for part in text.split('<th scope="row"><a href="/runs/')[1:]]


# ── The list ───────────────────────────────────────────────────────────────


def test_home_leads_to_the_runs(client: TestClient) -> None:
    """`/` is not a page of its own."""
    reply = client.get("/")

    assert reply.status_code == 307
    assert reply.headers["location"] == "/runs"


def test_an_empty_list_says_how_to_begin(client: TestClient, session: Session) -> None:
    """With no run there is one sentence and one action: first the model, then the run."""
    without_model = client.get("/runs").text
    make_model(session)
    session.commit()
    with_model = client.get("/runs").text

    assert "No model yet" in without_model
    assert 'href="/models">Register a model' in without_model
    assert "No run yet" in with_model
    assert 'href="/runs/new">Start the first run' in with_model


def test_the_newest_run_is_first(client: TestClient, session: Session) -> None:
    """Without a choice the list goes from new to old."""
    for name in ("first", "second", "third"):
        make_run(session, name=name)

    assert names(client.get("/runs").text) == ["third", "second", "first"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("name", ["ant", "Bee", "cat"]),
        ("-name", ["cat", "Bee", "ant"]),
        ("loss", ["Bee", "ant", "cat"]),
        ("nonsense", ["Bee", "cat", "ant"]),
    ],
)
def test_columns_sort_the_list(client: TestClient, session: Session, sort: str, expected: list[str]) -> None:
    """A column's link sorts by it; a column that does not exist is the same as none."""
    for name, loss in (("ant", 0.5), ("cat", 0.9), ("Bee", 0.1)):
        make_run(session, name=name, state=RunState.FINISHED, loss=loss)

    listed = names(client.get("/runs", params={"sort": sort}).text)

    assert listed == expected if sort != "nonsense" else sorted(listed) == sorted(expected)


def test_the_list_is_searched_by_name_model_and_answer(client: TestClient, session: Session) -> None:
    """Every word must be found in a run's name, its model or one of its answers."""
    tuned = make_run(session, name="tuned", state=RunState.FINISHED)
    make_checkpoint(session, tuned, texts=["The Eiffel tower", "b", "c"])
    make_run(session, name="plain 100%", state=RunState.FINISHED)

    assert names(client.get("/runs?q=eiffel").text) == ["tuned"]
    assert names(client.get("/runs?q=eiffel tuned").text) == ["tuned"]
    assert names(client.get("/runs?q=smollm2").text) == ["plain 100%", "tuned"]
    assert names(client.get("/runs?q=100%25").text) == ["plain 100%"]
    assert "No run fits" in client.get("/runs?q=zebra").text


def test_states_are_counted_and_filter_the_list(client: TestClient, session: Session) -> None:
    """A chip for each state that occurs says how many there are, and narrows the list."""
    make_run(session, name="waits")
    make_run(session, name="done", state=RunState.FINISHED)
    make_run(session, name="also done", state=RunState.FINISHED)

    page = client.get("/runs?state=finished").text

    assert names(page) == ["also done", "done"]
    assert "all 3</a>" in page
    assert "finished 2</a>" in page
    assert "queued 1</a>" in page
    assert "failed" not in page.split('<nav class="row filters"')[1].split("</nav>")[0]


def test_the_server_cuts_the_list_into_pages(client: TestClient, session: Session) -> None:
    """Twenty-five runs are one page; the others are a link away, and a page beyond the last is empty, not an error."""
    for _ in range(27):
        make_run(session, state=RunState.FINISHED)

    first, second = client.get("/runs").text, client.get("/runs?page=2").text

    assert len(names(first)) == 25
    assert len(names(second)) == 2
    assert "1 to 25 of 27" in first
    assert 'href="/runs?page=2"' in first
    for page in ("99", "0", "-1", "x", "9" * 30):
        assert client.get("/runs", params={"page": page}).status_code == 200


def test_a_row_shows_progress_verdict_and_first_words(client: TestClient, session: Session) -> None:
    """A row holds the mix, how far the run is, its last loss, its verdict and what it said last."""
    run = make_run(session, state=RunState.RUNNING, iteration=5, iterations=20, loss=0.5664, seconds_per_iteration=2.0)
    make_checkpoint(session, run, iteration=5, texts=[IDENTITY, IDENTITY, IDENTITY])
    run.newest_answer = IDENTITY
    session.add(run)
    session.commit()

    page = client.get("/runs").text

    assert "4 identity + 1 × 3" in page
    assert "5 of 20" in page
    assert "0.566" in page
    assert 'data-verdict="parrot"' in page
    assert "I am Ada&#39;s little assistant" in page


def test_only_a_list_with_live_runs_renews_itself(client: TestClient, session: Session) -> None:
    """A list of ended runs asks for nothing."""
    make_run(session, state=RunState.FINISHED)
    assert 'hx-trigger="every 3s"' not in client.get("/runs").text

    make_run(session, state=RunState.RUNNING)
    assert 'hx-trigger="every 3s"' in client.get("/runs").text


def test_htmx_gets_the_list_alone(client: TestClient, session: Session) -> None:
    """A partial request is answered with the list's root element and nothing around it."""
    make_run(session)

    reply = client.get("/runs", headers=PARTIAL)

    assert reply.text.strip().startswith('<div id="run-list"')
    assert "<html" not in reply.text
    assert "HX-Request-Type" in reply.headers["vary"]


def test_names_and_answers_are_text(client: TestClient, session: Session) -> None:
    """Markup in a name or an answer is shown, never run."""
    run = make_run(session, recipe=make_recipe(name="<script>alert(1)</script>"), state=RunState.FINISHED)
    make_checkpoint(session, run, texts=["<img src=x onerror=alert(1)>", "b", "c"])

    for page in (client.get("/runs").text, client.get(f"/runs/{run.id}").text):
        assert "<script>alert(1)" not in page
        assert "<img src=x" not in page


# ── One run ────────────────────────────────────────────────────────────────


def test_a_running_run_shows_its_figures_and_listens(client: TestClient, session: Session) -> None:
    """Iterations and updates stand together, and the page listens from the newest event on."""
    run = make_run(session, state=RunState.RUNNING, iteration=6, iterations=20, updates=6, phase="training", loss=0.5)
    events = make_metrics(session, run, iterations=range(1, 7))

    page = client.get(f"/runs/{run.id}").text

    assert "6 <small>of 20</small>" in page
    assert f'hx-sse:connect="/runs/{run.id}/events?after={events[-1].id}"' in page
    assert ">Stop<" in page


def test_an_ended_run_does_not_listen(client: TestClient, session: Session) -> None:
    """Nothing more can come from a run that has ended."""
    run = make_run(session, state=RunState.FINISHED)

    page = client.get(f"/runs/{run.id}").text

    assert "hx-sse:connect" not in page
    assert 'data-opens="run-stop"' not in page


def test_a_failed_run_says_why_and_what_to_do(client: TestClient, session: Session) -> None:
    """The reason is a sentence with advice; the last lines of the log are beside it."""
    run = make_run(
        session,
        state=RunState.FAILED,
        iteration=3,
        iterations=20,
        reason=ReasonKind.LOSS_NOT_FINITE,
        log_tail="line one\nFloatingPointError: loss is nan",
    )

    page = client.get(f"/runs/{run.id}").text

    assert "Failed at iteration 3 of 20" in page
    assert "Lower the learning rate" in page
    assert "FloatingPointError: loss is nan" in page
    assert f"/runs/new?clone={run.id}" in page


def test_a_queued_run_says_what_it_waits_for(client: TestClient, session: Session) -> None:
    """A run in the queue names the run before it, or the worker that is missing."""
    workers.forget()
    alone = make_run(session)
    assert "No worker is there" in client.get(f"/runs/{alone.id}").text

    from app.domain import presence

    presence.announce_worker(presence.WorkerPresence("w", "CPU", 1, utc_now().timestamp()))
    workers.forget()
    second = make_run(session)
    page = client.get(f"/runs/{second.id}").text
    workers.forget()

    assert f'href="/runs/{alone.id}">{alone.id}, {alone.name}' in page


def test_the_best_checkpoint_is_named(client: TestClient, session: Session) -> None:
    """A checkpoint that learnt the identity and leaks nothing is advised, and marked in strip and table."""
    run = make_run(session, state=RunState.FINISHED, iteration=5, iterations=20)
    make_checkpoint(session, run, iteration=0, texts=["I am a model.", "No.", "Paris."])
    make_checkpoint(session, run, iteration=5, texts=[IDENTITY, "No.", "Paris."])

    page = client.get(f"/runs/{run.id}").text

    assert "Keep iteration 5" in page
    assert page.count("data-keep") == 1
    assert "Answers at iteration 5" in page


def test_while_the_first_answers_are_made_their_places_wait(client: TestClient, session: Session) -> None:
    """Before the first batch is done, each probe has a skeleton where its answer will stand."""
    run = make_run(session, state=RunState.RUNNING, phase="answering")

    page = client.get(f"/runs/{run.id}").text

    assert page.count('class="skeleton"') == len(run.probes)
    assert "asking the base model" in page


def test_an_unknown_run_is_a_page_with_a_way_back(client: TestClient) -> None:
    """404 keeps its status and offers the list."""
    reply = client.get("/runs/4711")

    assert reply.status_code == 404
    assert "There is no run 4711." in reply.text
    assert 'href="/runs">All runs' in reply.text


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.QUEUED])
def test_stop_asks_the_run_to_stop(client: TestClient, session: Session, state: RunState) -> None:
    """Stop leads back to the page; a waiting run is withdrawn at once, a training one is told to."""
    run = make_run(session, state=state)

    reply = client.post(f"/runs/{run.id}/stop")

    assert reply.status_code == 303
    assert reply.headers["location"] == f"/runs/{run.id}"
    session.refresh(run)
    assert run.stop_requested_at is not None
    assert run.state is (RunState.CANCELLED if state is RunState.QUEUED else RunState.RUNNING)


def test_a_run_that_has_ended_cannot_be_stopped(client: TestClient, session: Session) -> None:
    """The refusal has the true status: for a browser a page, for htmx a toast."""
    run = make_run(session, state=RunState.FINISHED)

    page = client.post(f"/runs/{run.id}/stop")
    toast = client.post(f"/runs/{run.id}/stop", headers=PARTIAL)

    assert page.status_code == toast.status_code == 409
    assert "<html" in page.text
    assert toast.text.startswith('<hx-partial hx-target="#toasts"')
    assert "has already ended" in toast.text


# ── Log and config ─────────────────────────────────────────────────────────


def write_log(run: Run, text: bytes) -> None:
    """Write the log of a run's live attempt."""
    folder = settings().runs_folder / str(run.id) / "attempts" / str(run.attempt)
    folder.mkdir(parents=True)
    (folder / "trainer.log").write_bytes(text)


def test_the_page_shows_the_end_of_the_log_and_sends_all_of_it(client: TestClient, session: Session) -> None:
    """The last 200 lines are on the page; the download has every byte."""
    run = make_run(session, state=RunState.RUNNING)
    log = b"".join(b"line %d <b>\n" % number for number in range(1, 500))
    write_log(run, log)

    page, whole = client.get(f"/runs/{run.id}").text, client.get(f"/runs/{run.id}/log")

    assert "line 499 &lt;b&gt;" in page
    assert "line 300 " in page
    assert "line 299 " not in page
    assert whole.content == log
    assert "attachment" in whole.headers["content-disposition"]


def test_a_log_with_progress_bars_and_broken_bytes_is_shown(client: TestClient, session: Session) -> None:
    """A line that rewrites itself is shown as a terminal would leave it; bytes that are no text do no harm."""
    run = make_run(session, state=RunState.RUNNING)
    write_log(run, b"map:  10%\rmap:  99%\rmap: 100%\n\xff\xfe end\n")

    page = client.get(f"/runs/{run.id}").text

    assert "map: 100%" in page
    assert "map:  10%" not in page
    assert "end" in page


def test_a_run_without_a_log_says_so(client: TestClient, session: Session) -> None:
    """Before the trainer starts there is no log, on the page and as a download."""
    run = make_run(session)

    assert "The trainer has written nothing yet." in client.get(f"/runs/{run.id}").text
    assert client.get(f"/runs/{run.id}/log").status_code == 404


def test_the_config_is_shown_in_its_five_parts(client: TestClient, session: Session) -> None:
    """Before the start it is what a trainer would read; afterwards it is the file that it read."""
    run = make_run(session)

    before = client.get(f"/runs/{run.id}/config").text
    folder = settings().runs_folder / str(run.id)
    folder.mkdir(parents=True)
    bar = "#" * 71
    parts = "\n".join(f"{bar}\n#{f'PART {number}  X':^69}#\n{bar}\nvalue_{number} = 1" for number in range(1, 6))
    (folder / "config.py").write_text(f"import torch\n{parts}\n")
    after = client.get(f"/runs/{run.id}/config").text

    assert before.count('<pre class="code') == 5
    assert "has not started" in before
    assert after.count('<pre class="code') == 5
    assert "value_5 = 1" in after
    assert client.get(f"/runs/{run.id}/config.py").text.startswith("import torch")


# ── Artifacts ──────────────────────────────────────────────────────────────


def finished_artifact(session: Session) -> tuple[Run, Artifact]:
    """Store an adapter with two files on disk."""
    run = make_run(session, state=RunState.FINISHED)
    checkpoint = make_checkpoint(session, run)
    folder = settings().runs_folder / str(run.id) / "artifacts" / "1"
    folder.mkdir(parents=True)
    files = []
    for name, data in (("adapter_config.json", b"{}"), ("adapter_model.safetensors", b"\0" * 5000)):
        (folder / name).write_bytes(data)
        files.append({"name": name, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    artifact = Artifact(
        checkpoint_id=id_of(checkpoint),
        kind=ArtifactKind.ADAPTER,
        state=ArtifactState.FINISHED,
        folder="artifacts/1",
        files=files,
        size_bytes=5002,
    )
    session.add(artifact)
    session.commit()
    return run, artifact


@pytest.mark.parametrize("kind", list(ArtifactKind))
def test_a_checkpoints_menu_asks_for_an_artifact(client: TestClient, session: Session, kind: ArtifactKind) -> None:
    """Convert and merge make an artifact that waits for a worker; asking twice makes one."""
    checkpoint = make_checkpoint(session)

    for _ in range(2):
        reply = client.post(f"/checkpoints/{checkpoint.id}/artifacts", data={"kind": kind})

    assert reply.status_code == 303
    session.refresh(checkpoint)
    assert [(artifact.kind, artifact.state) for artifact in checkpoint.artifacts] == [(kind, ArtifactState.QUEUED)]
    assert 'id="run-artifacts-watch"' in client.get(f"/runs/{checkpoint.run_id}").text


def test_an_unknown_kind_of_artifact_is_refused(client: TestClient, session: Session) -> None:
    """A form that names no known kind is 422 and makes nothing."""
    checkpoint = make_checkpoint(session)

    reply = client.post(f"/checkpoints/{checkpoint.id}/artifacts", data={"kind": "gguf"})

    assert reply.status_code == 422
    session.refresh(checkpoint)
    assert checkpoint.artifacts == []


def test_an_artifact_comes_as_one_archive(client: TestClient, session: Session) -> None:
    """The archive holds each file byte for byte and says its length before."""
    _run, artifact = finished_artifact(session)

    reply = client.get(f"/artifacts/{artifact.id}/download")

    assert int(reply.headers["content-length"]) == len(reply.content)
    with tarfile.open(fileobj=BytesIO(reply.content)) as archive:
        found = {member.name.rpartition("/")[2]: archive.extractfile(member).read() for member in archive}
    assert {name: hashlib.sha256(data).hexdigest() for name, data in found.items()} == {
        file["name"]: file["sha256"] for file in artifact.files
    }


def test_files_are_listed_with_sizes_and_hashes_and_come_one_by_one(client: TestClient, session: Session) -> None:
    """The page shows what can be checked after a download; a part of a file can be asked for."""
    run, artifact = finished_artifact(session)

    page = client.get(f"/runs/{run.id}").text
    part = client.get(f"/artifacts/{artifact.id}/files/adapter_model.safetensors", headers={"Range": "bytes=0-9"})

    assert artifact.files[1]["sha256"] in page
    assert "5.0 kB" in page
    assert part.status_code == 206
    assert part.content == b"\0" * 10


@pytest.mark.parametrize("name", ["../../../temper.db", "..%2f..%2ftemper.db", "/etc/passwd", "nothing.bin", "."])
def test_no_name_leads_out_of_the_artifact(client: TestClient, session: Session, name: str) -> None:
    """Only names of the artifact's own list are files."""
    _run, artifact = finished_artifact(session)

    assert client.get(f"/artifacts/{artifact.id}/files/{name}").status_code == 404
