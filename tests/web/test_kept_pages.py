"""Pages that are kept: sent again while they are true, and never a moment longer."""

import gzip
from collections.abc import Callable
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from markupsafe import escape
from sqlmodel import Session, create_engine

from app.config import settings
from app.domain import accounts, ratings
from app.domain.columns import utc_now
from app.domain.models import Role, Run, RunState
from app.domain.runs import id_of
from app.web import kept_pages, page_pieces, runs
from app.web.render import render as render_page
from tests.conftest import COOKIE
from tests.factories import make_answers, make_checkpoint, make_metrics, make_run


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the templates that are rendered for pages of runs, as they come."""
    rendered: list[str] = []

    def render(request: object, template: str, *rest: object, **others: object) -> object:
        rendered.append(template)
        return original(request, template, *rest, **others)  # type: ignore[arg-type]

    original = render_page
    monkeypatch.setattr(runs, "render", render)
    return rendered


@pytest.mark.parametrize("path", ["/runs", "/runs/{id}"])
def test_a_page_is_made_once_while_nothing_changes(
    client: TestClient, session: Session, made: list[str], path: str
) -> None:
    """The second reader of an unchanged page gets the same words without the work."""
    run = make_run(session)

    first, second = (client.get(path.format(id=run.id)) for _ in range(2))

    assert len(made) == 1
    assert first.text == second.text
    assert first.status_code == 200


def rename(session: Session, run: Run) -> str:
    run.name = "Another name"
    session.add(run)
    session.commit()
    return run.name


def end(session: Session, run: Run) -> str:
    run.state = RunState.FAILED
    session.add(run)
    session.commit()
    return "failed"


def answer(session: Session, run: Run) -> str:
    make_answers(session, make_checkpoint(session, run, iteration=5), ["Said just now"] * 3)
    return "Said just now"


def write_log(_session: Session, run: Run) -> str:
    path = settings().run_folder(id_of(run)) / "attempts" / "1" / "trainer.log"
    path.parent.mkdir(parents=True)
    path.write_text("a line of the trainer\n")
    return "a line of the trainer"


@pytest.mark.parametrize("change", [rename, end, answer, write_log])
def test_no_page_is_older_than_a_change(
    client: TestClient, session: Session, change: Callable[[Session, Run], str]
) -> None:
    """Whoever changes something, by whatever way, the next answer shows it."""
    run = make_run(session, state=RunState.RUNNING)
    before = client.get(f"/runs/{run.id}").text

    word = change(session, run)

    assert word not in before
    assert word in client.get(f"/runs/{run.id}").text


def test_a_change_of_something_else_makes_no_page_anew(client: TestClient, session: Session, made: list[str]) -> None:
    """Another run that trains on leaves this one's page as it is."""
    run, other = make_run(session, state=RunState.FINISHED), make_run(session, state=RunState.RUNNING)
    client.get(f"/runs/{run.id}")

    make_metrics(session, other)
    reply = client.get(f"/runs/{run.id}")

    assert (len(made), reply.status_code) == (1, 200)


def test_a_rating_shows_at_once_and_to_its_user_only(client: TestClient, session: Session) -> None:
    """A comparison is kept for each reader: nobody sees another one's stars."""
    run = make_run(session, state=RunState.FINISHED)
    (first, *_) = make_answers(session, make_checkpoint(session, run, iteration=5))
    path = f"/compare?runs={run.id}"
    before = client.get(path).text
    other = accounts.add_user(session, "reader", role=Role.VIEWER)

    ratings.rate_answer(session, first.id or 0, user_id=accounts.first_admin(session).id or 0, stars=4)
    session.commit()
    own = client.get(path).text
    client.cookies.set(COOKIE, accounts.log_in(session, other, lifetime=timedelta(hours=1)))
    session.commit()

    assert own != before
    assert "reader" in client.get(path).text
    assert client.get(path).text != own


def test_the_first_rating_shows_though_others_ask_meanwhile(client: TestClient, session: Session) -> None:
    """Whoever has just given their first stars is not sent the page that all others share."""
    run = make_run(session, state=RunState.FINISHED)
    (first, *_) = make_answers(session, make_checkpoint(session, run, iteration=5))
    path, admin = f"/compare?runs={run.id}", client.cookies[COOKIE]
    user = accounts.add_user(session, "other", role=Role.ADMIN)
    other = accounts.log_in(session, user, lifetime=timedelta(hours=1))
    session.commit()
    before = client.get(path).text

    ratings.rate_answer(session, first.id or 0, user_id=accounts.first_admin(session).id or 0, stars=4)
    session.commit()
    for secret in (other, other, admin):
        client.cookies.set(COOKIE, secret)
        shown = client.get(path).text

    assert shown != before


def test_language_part_and_reader_have_pages_of_their_own(client: TestClient, session: Session) -> None:
    """What one reader was shown is nobody else's, nor in another language, nor a page where a part is asked for."""
    make_run(session)

    whole = client.get("/runs").text
    part = client.get("/runs", headers={"HX-Request": "true", "HX-Request-Type": "partial"}).text
    chinese = client.get("/runs", headers={"Accept-Language": "zh"}).text

    assert "<html" in whole
    assert "<html" not in part
    assert 'lang="zh"' in chinese


def test_a_browser_that_has_the_page_is_told_so(client: TestClient, session: Session) -> None:
    """An unchanged page costs a few bytes, with the headers of every answer; a changed one comes whole."""
    run = make_run(session)
    tag = client.get("/runs").headers["etag"]

    unchanged = client.get("/runs", headers={"If-None-Match": tag})
    rename(session, run)
    changed = client.get("/runs", headers={"If-None-Match": tag})

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert "content-security-policy" in unchanged.headers
    assert (changed.status_code, "Another name" in changed.text) == (200, True)


def test_whoever_takes_no_gzip_gets_plain_text(client: TestClient, session: Session) -> None:
    """Pages are kept compressed, and sent as they are asked for."""
    make_run(session)

    plain = client.get("/runs", headers={"Accept-Encoding": "identity"})
    packed = client.get("/runs", headers={"Accept-Encoding": "gzip"})

    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.text == packed.text
    assert "Accept-Encoding" in plain.headers["vary"]


def test_what_a_page_says_of_the_time_is_renewed(client: TestClient, session: Session, made: list[str]) -> None:
    """A page that is old is made anew though nothing has changed: it says how long ago things were."""
    make_run(session)
    client.get("/runs")

    (page,) = kept_pages.kept_pages().pages.values()
    page.made_at -= kept_pages.LATE_SECONDS
    client.get("/runs")

    assert len(made) == 2


def test_ages_that_change_seldom_are_not_renewed_often(client: TestClient, session: Session) -> None:
    """A page whose newest line is days old is good for longer than one of this minute."""
    run = make_run(session, state=RunState.FINISHED)
    client.get("/runs")
    run.created_at = run.started_at = run.ended_at = utc_now() - timedelta(days=3, minutes=1)
    session.add(run)
    session.commit()
    (new,) = kept_pages.kept_pages().pages.values()
    client.get("/runs")
    (old,) = kept_pages.kept_pages().pages.values()

    assert new.reads.good_for <= kept_pages.LATE_SECONDS
    assert old.reads.good_for > kept_pages.LONGEST_SECONDS


def test_memory_stays_flat(client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses are asked for, so many pages are kept and no more."""
    monkeypatch.setattr(kept_pages, "MOST_PAGES", 3)

    for number in range(6):
        client.get(f"/runs?q=word{number}")

    pages = kept_pages.kept_pages()
    assert len(pages.pages) == 3
    assert pages.size == sum(page.pieces.size for page in pages.pages.values())
    assert pages.makers == {}


def test_a_failure_is_not_kept(client: TestClient, session: Session) -> None:
    """A run that was not there is shown as soon as it is."""
    assert client.get("/runs/1").status_code == 404

    make_run(session)

    assert client.get("/runs/1").status_code == 200


def test_an_ended_login_ends_at_once(client: TestClient, session: Session) -> None:
    """What was remembered of a login is not believed once it has been ended, nor its role once it was changed."""
    user = accounts.first_admin(session)
    assert client.get("/runs/new").status_code == 200

    user.role = Role.VIEWER
    session.add(user)
    session.commit()
    as_viewer = client.get("/runs/new").status_code
    secret = client.cookies[COOKIE]
    client.post("/logout")
    client.cookies.set(COOKIE, secret)

    assert as_viewer == 403
    assert client.get("/runs").status_code == 303


@pytest.mark.parametrize("name", ["admin", "<b>&amp;", "名" * 100, "", "x" * 70_000])
def test_a_page_in_pieces_is_whole(name: str) -> None:
    """Put together for a reader, as it is or as one gzip stream, a page is what it would have been for them alone."""
    text = f"<p>{page_pieces.NAME}</p>" + "words " * 20_000 + page_pieces.NAME
    wanted = text.replace(page_pieces.NAME, str(escape(name))).encode()

    pieces = page_pieces.split(text.encode())

    assert pieces.as_it_is(name) == wanted
    assert gzip.decompress(pieces.as_gzip(name)) == wanted
    assert pieces.etag(name) != pieces.etag("another")


def test_readers_of_a_role_share_a_page_and_see_their_own_name(
    client: TestClient, session: Session, made: list[str]
) -> None:
    """A page is made once for all of a role, and another one for another role."""
    make_run(session)
    mine = client.get("/runs").text
    for name, role in (("<second>", Role.ADMIN), ("third", Role.VIEWER)):
        user = accounts.add_user(session, name, role=role)
        session.commit()
        client.get("/runs")
        made.clear()
        client.cookies.set(COOKIE, accounts.log_in(session, user, lifetime=timedelta(hours=1)))
        session.commit()
        theirs = client.get("/runs").text
        assert len(made) == (role is Role.VIEWER)
        assert str(escape(name)) in theirs
        assert page_pieces.NAME not in theirs

    assert "Account: admin" in mine


def test_what_a_worker_writes_may_come_a_moment_late(
    client: TestClient, session: Session, made: list[str], database_url: str
) -> None:
    """A whole page may miss another process's last two seconds; the part that a live page asks for never does."""
    run = make_run(session, name="Before")
    client.get("/runs")
    engine = create_engine(database_url)
    with Session(engine) as other:
        other.get_one(Run, run.id).name = "After"
        other.commit()
    engine.dispose()

    whole = client.get("/runs").text
    part = client.get("/runs", headers={"HX-Request": "true", "HX-Request-Type": "partial"}).text
    (page, _) = kept_pages.kept_pages().pages.values()
    page.looked_at -= kept_pages.SLACK_SECONDS

    assert "Before" in whole
    assert "After" in part
    assert "After" in client.get("/runs").text


def test_an_error_page_is_its_readers_own(client: TestClient) -> None:
    """A page that cannot be made names the reader, and no place where a name should be."""
    assert page_pieces.NAME not in client.get("/runs/404").text
    assert "Account: admin" in client.get("/runs/404").text


def test_what_a_reader_rates_while_their_page_is_made_is_not_for_others(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note that came after the page was found to hold nothing of one's own is in that page, and in nobody else's."""
    run, admin = make_run(session, state=RunState.FINISHED), accounts.first_admin(session)
    [answer, *_] = make_answers(session, make_checkpoint(session, run, iteration=5), ["Said"] * 3)
    asked = ratings.has_rated

    def rate_meanwhile(reader: Session, user_id: int) -> bool:
        monkeypatch.setattr(ratings, "has_rated", asked)
        ratings.rate_answer(session, answer.id or 0, user_id=user_id, stars=1)
        return False

    monkeypatch.setattr(ratings, "has_rated", rate_meanwhile)
    mine = client.get(f"/compare?runs={run.id}")
    other = accounts.add_user(session, "bob", role=admin.role)
    client.cookies.set(COOKIE, accounts.log_in(session, other, lifetime=timedelta(hours=1)))
    session.commit()
    theirs = client.get(f"/compare?runs={run.id}")

    assert "cell-stars" in mine.text
    assert theirs.status_code == 200
    assert "cell-stars" not in theirs.text
