"""Saved sets on pages: the list, an upload, one version with its rows, what is wrong with them, deletion."""

import hashlib
import json
from typing import Any

import pytest
from sqlmodel import Session, col, select

from app.config import settings
from app.domain import accounts
from app.domain.datasets.store import dataset_file
from app.domain.findings import stored
from app.domain.models import Dataset, Role, RunState
from tests.factories import make_model, make_recipe, make_run
from tests.saved_sets import make_set
from tests.web.form_fields import soup_of

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
ROWS = b'{"question": "What is a cat?", "answer": "A small animal."}\n'


@pytest.fixture
def viewer(client: Any, session: Session) -> Any:
    """Return a browser whose user may only look."""
    accounts.first_admin(session).role = Role.VIEWER
    session.commit()
    return client


def send(client: Any, content: bytes = ROWS, *, name: str = "", file_name: str = "pets.jsonl") -> Any:
    """Send the upload form as a browser without a script does."""
    return client.post("/datasets", data={"name": name}, files={"file": (file_name, content)})


def sets_in(session: Session) -> list[Dataset]:
    """Return every version there is, the newest first."""
    session.expire_all()
    return list(session.exec(select(Dataset).order_by(col(Dataset.id).desc())).all())


def words(part: Any) -> str:
    """Return a part's text on one line."""
    return " ".join(part.get_text(" ").split())


# ── The list ───────────────────────────────────────────────────────────────


def test_without_any_set_the_page_says_what_to_do(client: Any) -> None:
    """An empty list is a sentence and the form beside it."""
    page = soup_of(client.get("/datasets"))

    assert "No data yet" in words(page.select_one("#datasets-list"))
    assert page.select_one("#datasets-upload input[type='file']")


def test_a_set_is_listed_once_at_its_newest_version(client: Any, session: Session) -> None:
    """With its rows, its form, how many versions it has, and the runs that were made from it."""
    make_set(session)
    newest = make_set(session, pairs=[("a", "b")] * 3)
    files = [{"dataset": "pets", "sha256": newest.sha256}]
    make_run(session, recipe=make_recipe(mix={"files": files}), model=make_model(session))

    (row,) = soup_of(client.get("/datasets")).select("#datasets-list tbody tr")

    assert row.select_one("a")["href"] == f"/datasets/{newest.id}"
    assert "2 versions" in words(row)
    assert [words(cell) for cell in row.select("td")][:2] == ["3", "pairs from the form"]
    assert words(row.select_one("[data-label='runs']")) == "1"


def test_the_list_is_searched_by_name(client: Any, session: Session) -> None:
    """Htmx gets the list alone; nothing found is said as such."""
    make_set(session, name="pets")
    make_set(session, name="客服问答")

    found = soup_of(client.get("/datasets?q=客服", headers=HTMX))
    none = soup_of(client.get("/datasets?q=zebra", headers=HTMX))

    assert [words(name) for name in found.select("tbody th a")] == ["客服问答"]
    assert found.select_one("html") is None
    assert "No set fits" in words(none)


def test_a_viewer_looks_and_changes_nothing(viewer: Any, session: Session) -> None:
    """No form, no button, and a request all the same is refused."""
    dataset = make_set(session)

    page = soup_of(viewer.get("/datasets"))
    detail = soup_of(viewer.get(f"/datasets/{dataset.id}"))

    assert page.select_one("#datasets-upload") is None
    assert "may look at sets and not add any" in words(page)
    assert detail.select_one("[data-opens='datasets-delete']") is None
    assert send(viewer).status_code == 403
    assert viewer.post(f"/datasets/{dataset.id}/delete").status_code == 403


# ── Uploading ──────────────────────────────────────────────────────────────


def test_an_upload_leads_to_its_page(client: Any, session: Session) -> None:
    """Without a name the set is called like the file."""
    reply = send(client)

    (dataset,) = sets_in(session)
    assert (reply.status_code, reply.headers["location"]) == (303, f"/datasets/{dataset.id}")
    assert (dataset.name, dataset.rows, dataset.source_name) == ("pets", 1, "pets.jsonl")


def test_a_file_that_cannot_be_used_is_refused_at_the_field(client: Any, session: Session) -> None:
    """The sentence has the line, the name that was typed is still there, and nothing is stored."""
    reply = send(client, ROWS + b"not json\n", name="my pets")

    page = soup_of(reply)
    assert reply.status_code == 422
    assert "Line 2" in words(page.select_one("#upload-file-help.error"))
    assert page.select_one("#upload-file")["aria-invalid"] == "true"
    assert page.select_one("#upload-name")["value"] == "my pets"
    assert sets_in(session) == []


def test_a_name_that_cannot_be_used_is_refused_at_its_field(client: Any) -> None:
    """The file is not blamed for it."""
    page = soup_of(send(client, name="x" * 121))

    assert "1 to 120 characters" in words(page.select_one("#upload-name-help.error"))
    assert page.select_one("#upload-file-help.error") is None


def test_a_form_without_a_file_says_so(client: Any) -> None:
    """A browser sends an empty part for a box that nothing was chosen in."""
    reply = send(client, b"", file_name="")

    assert reply.status_code == 422
    assert soup_of(reply).select_one("#upload-file-help.error")


def test_a_file_that_is_too_large_is_refused_at_the_field(
    client: Any, monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    """With the true status, and the page to try again on."""
    monkeypatch.setattr(settings(), "largest_upload_bytes", 1_000)

    reply = send(client, ROWS * 100)

    assert reply.status_code == 413
    assert "too large" in words(soup_of(reply).select_one("#upload-file-help.error"))
    assert sets_in(session) == []


# ── One version ────────────────────────────────────────────────────────────


def test_rows_are_shown_turn_by_turn(client: Any) -> None:
    """System text, questions and answers stand apart; what is not learnt says so."""
    turns = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello?"},
        {"role": "assistant", "content": "Hi.", "loss": False},
        {"role": "user", "content": "再见？"},
        {"role": "assistant", "content": "再见。"},
    ]
    reply = send(client, json.dumps([{"messages": turns}]).encode(), file_name="chat.json")

    page = soup_of(client.get(reply.headers["location"]))

    (row,) = page.select(".row-list > li")
    assert [words(role) for role in row.select("dt")] == [
        "system",
        "question",
        "answer not learnt",
        "question",
        "answer",
    ]
    assert [words(text) for text in row.select("dd")] == ["Be kind.", "Hello?", "Hi.", "再见？", "再见。"]
    assert row.select("dd")[-1]["lang"] == "zh"


def test_rows_come_in_pages_that_can_be_jumped_to(client: Any, session: Session) -> None:
    """By number, and beyond the end the last row is shown."""
    dataset = make_set(session, pairs=[(f"q{number}", f"a{number}") for number in range(1, 26)])

    page = soup_of(client.get(f"/datasets/{dataset.id}?row=11"))
    end = soup_of(client.get(f"/datasets/{dataset.id}?row=999"))

    assert [row["id"] for row in page.select(".row-list > li")] == [f"row-{n}" for n in range(11, 21)]
    assert page.select_one("[rel='next']")["href"] == f"/datasets/{dataset.id}?row=21"
    assert page.select_one("[rel='prev']")["href"] == f"/datasets/{dataset.id}?row=1"
    assert [row["id"] for row in end.select(".row-list > li")] == ["row-25"]


def test_a_long_text_is_cut_on_the_page_and_said_to_be(client: Any, session: Session) -> None:
    """A megabyte in one answer does not become a megabyte of page."""
    dataset = make_set(session, pairs=[("long?", "x" * 8_000)])

    page = soup_of(client.get(f"/datasets/{dataset.id}"))

    assert "and 5,000 more characters" in words(page.select_one(".turn-answer"))


def test_an_older_version_leads_to_the_newest(client: Any, session: Session) -> None:
    """Both are listed, and the one that is open is marked."""
    older = make_set(session)
    newest = make_set(session, pairs=[("a", "b")])

    page = soup_of(client.get(f"/datasets/{older.id}"))

    assert page.select_one(".lede a")["href"] == f"/datasets/{newest.id}"
    assert [words(item.select_one("code")) for item in page.select(".versions li[aria-current]")] == [older.sha256[:8]]


def test_the_file_is_sent_as_it_is_stored(client: Any, session: Session) -> None:
    """Byte for byte, under the set's name."""
    dataset = make_set(session)

    reply = client.get(f"/datasets/{dataset.id}/download")

    assert hashlib.sha256(reply.content).hexdigest() == dataset.sha256
    assert "pets-" in reply.headers["content-disposition"]


def test_a_set_whose_file_is_gone_says_so(client: Any, session: Session) -> None:
    """The page stays; only the rows are missing."""
    dataset = make_set(session)
    (settings().datasets_folder / f"{dataset.sha256}.jsonl").unlink()

    page = soup_of(client.get(f"/datasets/{dataset.id}"))

    assert "gone from the disk" in words(page.select_one("#datasets-rows .error"))


def test_no_such_set_is_not_found(client: Any) -> None:
    """As any other address that names nothing."""
    assert client.get("/datasets/7").status_code == 404


# ── Findings ───────────────────────────────────────────────────────────────

CONFLICT = [("Who are you?", "A cat."), ("What is two?", "A number."), ("Who are you?", "A dog.")]


def test_a_version_that_was_not_searched_is_asked_for_by_itself(client: Any, session: Session) -> None:
    """The page does not wait for the search."""
    dataset = make_set(session, pairs=CONFLICT)

    part = soup_of(client.get(f"/datasets/{dataset.id}")).select_one("#datasets-findings")

    assert part["hx-get"] == f"/datasets/{dataset.id}/findings"
    assert "searching the rows" in words(part)


def test_findings_have_rows_and_proposals(client: Any, session: Session) -> None:
    """Each kind with its count; each example leads to its row and says what would stand there."""
    dataset = make_set(session, pairs=CONFLICT)

    stored.find_stored(dataset_file(dataset.sha256))

    part = soup_of(client.get(f"/datasets/{dataset.id}/findings", headers=HTMX))

    kind = part.select_one("#finding-conflict")
    assert words(kind.select_one("summary b")) == "1"
    assert kind.select_one(".example a")["href"] == f"/datasets/{dataset.id}?row=3#row-3"
    assert words(kind.select_one(".example ins")) == "A cat."


def test_a_viewer_begins_no_search(client: Any, session: Session) -> None:
    """The page says who may, and asks no more."""
    dataset = make_set(session, pairs=CONFLICT)
    accounts.first_admin(session).role = Role.VIEWER
    session.commit()

    part = soup_of(client.get(f"/datasets/{dataset.id}/findings", headers=HTMX)).select_one("#datasets-findings")

    assert "not searched yet" in words(part)
    assert "hx-get" not in part.attrs


def test_a_repair_makes_a_new_version(client: Any, session: Session) -> None:
    """The old one stays as it is."""
    dataset = make_set(session, pairs=CONFLICT)

    reply = client.post(f"/datasets/{dataset.id}/repair", data={"kind": "conflict"})

    newest, older = sets_in(session)
    assert reply.headers["location"] == f"/datasets/{newest.id}"
    assert (older.sha256, newest.name) == (dataset.sha256, "pets")
    rows = soup_of(client.get(reply.headers["location"])).select(".turn-answer")
    assert [words(text) for text in rows] == ["A cat.", "A number.", "A cat."]


def test_a_repair_that_leaves_nothing_is_refused(client: Any, session: Session) -> None:
    """With the reason, on the page of the findings."""
    dataset = make_set(session, pairs=[("Anything?", "")])

    reply = client.post(f"/datasets/{dataset.id}/repair", data={"kind": "empty-answer"})

    assert reply.status_code == 422
    assert "would leave no row" in words(soup_of(reply).select_one("#datasets-findings .error"))


# ── Deleting ───────────────────────────────────────────────────────────────


def test_a_version_is_deleted_after_asking(client: Any, session: Session) -> None:
    """The dialog names it; the list follows."""
    dataset = make_set(session)
    dialog = soup_of(client.get(f"/datasets/{dataset.id}")).select_one("#datasets-delete")

    reply = client.post(dialog.select_one("form[method='post']")["action"])

    assert "pets" in words(dialog)
    assert reply.headers["location"] == "/datasets"
    assert sets_in(session) == []


def test_what_a_run_was_made_from_stays(client: Any, session: Session) -> None:
    """The dialog offers nothing, and a request all the same is told why."""
    dataset = make_set(session)
    files = [{"dataset": "pets", "sha256": dataset.sha256}]
    make_run(session, recipe=make_recipe(mix={"files": files}), state=RunState.FINISHED)

    dialog = soup_of(client.get(f"/datasets/{dataset.id}")).select_one("#datasets-delete")
    reply = client.post(f"/datasets/{dataset.id}/delete")

    assert dialog.select_one("form[method='post']") is None
    assert reply.status_code == 409
    assert "Nothing was deleted" in words(soup_of(reply))
    assert sets_in(session) == [dataset]


# ── On a run's page ────────────────────────────────────────────────────────


def test_a_run_names_its_data(client: Any, session: Session) -> None:
    """The saved sets by name and version, and the rows it was trained on, to be taken away."""
    dataset = make_set(session)
    files = [{"dataset": "pets", "sha256": dataset.sha256, "count": 1}]
    run = make_run(session, recipe=make_recipe(mix={"files": files}), state=RunState.FINISHED, mix_sha256="ab" * 32)

    page = soup_of(client.get(f"/runs/{run.id}")).select_one("#run-recipe")

    assert words(page.select_one("#run-data")) == "abababababab , 11 rows, download"
    link = page.select_one(f"a[href='/datasets/{dataset.id}']")
    assert dataset.sha256[:8] in words(link.parent)
    assert page.select_one(f"a[href='/runs/{run.id}/mix']")


def test_the_rows_of_a_run_are_sent(client: Any, session: Session) -> None:
    """Byte for byte what its hash says; a run that has not started has none yet."""
    content = b'{"conversation": []}\n'
    sha256 = hashlib.sha256(content).hexdigest()
    settings().mixes_folder.mkdir(parents=True)
    (settings().mixes_folder / f"{sha256}.jsonl").write_bytes(content)
    run = make_run(session, state=RunState.FINISHED, mix_sha256=sha256)
    waiting = make_run(session)

    assert client.get(f"/runs/{run.id}/mix").content == content
    assert client.get(f"/runs/{waiting.id}/mix").status_code == 409
