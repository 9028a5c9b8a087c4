"""The page of models: what is listed, registered, refused and removed."""

from pathlib import Path
from typing import Any

from sqlmodel import Session

from app.domain import accounts
from app.domain.model_dangers import dangers_of, fingerprint_of
from app.domain.models import ModelState, Role
from app.domain.registry import list_models
from tests.factories import make_model, make_run
from tests.model_folders import INTERNLM2, make_model_folder
from tests.web.form_fields import soup_of

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


def words(found: Any) -> str:
    """Return an element's words."""
    return " ".join(found.get_text(" ").split())


def test_without_models_the_page_says_what_one_is(client: Any, session: Session) -> None:
    """The empty list is a sentence beside the form."""
    page = soup_of(client.get("/models"))

    assert "No model yet" in words(page.select_one("#models-list"))
    assert page.select_one("#models-form[action='/models'][method='post']") is not None


def test_a_model_is_listed_with_what_it_is(client: Any, session: Session) -> None:
    """Template, architecture, parameters, size, state and how many runs use it."""
    make_run(session)

    row = words(soup_of(client.get("/models")).select_one("#models-list tbody tr"))

    for part in ("smollm2", "/models/smollm2", "qwen_chat", "Llama", "134.5 M", "269 MB", "ready", " 1 "):
        assert part in row


def test_a_folder_is_registered(client: Any, session: Session, tmp_path: Path) -> None:
    """The name and the template may be left to the folder."""
    folder = make_model_folder(tmp_path / "small")

    reply = client.post("/models", data={"source": str(folder), "name": "", "template": ""})

    (model,) = list_models(session)
    assert (reply.status_code, reply.headers["location"]) == (303, "/models")
    assert (model.name, model.state) == ("small", ModelState.READY)


def test_a_model_that_is_being_prepared_is_watched(client: Any, session: Session, tmp_path: Path) -> None:
    """The list asks for itself again until nothing is being prepared."""
    folder = make_model_folder(tmp_path / "internlm2", config=INTERNLM2)
    make_model(session)
    still = soup_of(client.get("/models")).select_one("#models-list")
    client.post("/models", data={"source": str(folder), "approve": fingerprint_of(dangers_of(folder))})

    watching = soup_of(client.get("/models", headers=HTMX))

    assert still.get("hx-trigger") is None
    assert watching.select_one("#models-list")["hx-trigger"] == "every 3s"
    assert watching.select_one("main") is None
    assert "preparing" in words(watching)


def test_what_is_wrong_is_named_at_its_field(client: Any, session: Session) -> None:
    """422, every sentence at its field, and what was typed stays."""
    reply = client.post("/models", data={"source": "/nowhere", "name": "a/b", "template": "esperanto"})

    page = soup_of(reply)
    assert reply.status_code == 422
    assert "There is no folder /nowhere" in words(page.select_one("#models-proposal.error"))
    assert "letters, digits" in words(page.select_one("#name-help.error"))
    assert "no prompt template “esperanto”" in words(page.select_one("#template-help.error"))
    assert page.select_one("#source")["value"] == "/nowhere"
    assert page.select_one("#source")["aria-invalid"] == "true"
    assert list_models(session) == []


def test_the_template_is_proposed_while_the_source_is_typed(client: Any, session: Session, tmp_path: Path) -> None:
    """What is at the source is said, and the select's first choice names the template that fits."""
    folder = make_model_folder(tmp_path / "internlm2", config=INTERNLM2)

    page = soup_of(client.get("/models/proposal", params={"source": str(folder)}, headers=HTMX))

    assert "laid out anew as Llama" in words(page.select_one("#models-proposal"))
    assert words(page.select_one("#models-template option")) == "proposed: internlm2_chat"


def test_half_a_path_is_no_mistake_yet(client: Any, session: Session) -> None:
    """While it is typed the sentence is help, not an error."""
    page = soup_of(client.get("/models/proposal", params={"source": "/mod"}, headers=HTMX))

    assert "There is no folder" in words(page.select_one("#models-proposal.help"))
    assert page.select_one(".error") is None


def test_a_model_is_removed(client: Any, session: Session) -> None:
    """The button is a form: it works without a script."""
    model = make_model(session)

    reply = client.post(f"/models/{model.id}/remove")

    assert (reply.status_code, reply.headers["location"]) == (303, "/models")
    assert list_models(session) == []


def test_a_model_that_runs_use_is_not_removed(client: Any, session: Session) -> None:
    """The button is off; who presses it all the same reads why."""
    run = make_run(session)

    reply = client.post(f"/models/{run.model_id}/remove")

    page = soup_of(reply)
    assert reply.status_code == 409
    assert "1 runs use it" in words(page.select_one("main"))
    assert page.select_one("#models-list button").has_attr("disabled")
    assert len(list_models(session)) == 1


def test_who_is_no_admin_reads_only(client: Any, session: Session) -> None:
    """A runner sees the models, and neither the form nor the buttons; a request is refused at the door."""
    model = make_model(session)
    accounts.first_admin(session).role = Role.RUNNER
    session.commit()

    page = soup_of(client.get("/models"))

    assert page.select("#models-form, #models-list button") == []
    assert client.post(f"/models/{model.id}/remove").status_code == 403
    assert client.get("/models/proposal", params={"source": "/etc"}).status_code == 403


def test_names_stay_text(client: Any, session: Session) -> None:
    """A folder's name is data."""
    make_model(session, name="<img src=x onerror=alert(1)>", source="<b>")

    assert soup_of(client.get("/models")).select("img, td b") == []
