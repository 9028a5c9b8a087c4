"""The keys of the house: tokens, links, the password, the tables; and what is there. Works on the database itself."""

import sys
from datetime import timedelta
from typing import Annotated, Any

import typer

from app.cli import checkup
from app.cli.here import here
from app.cli.listings import Listing, plain
from app.cli.output import AsJson, ago, console, fail, left_in_home, shown, write_json
from app.config import settings
from app.domain import accounts, audit, db, tokens
from app.domain.models import Role

token_commands = typer.Typer(help="Make, list and revoke API tokens.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(token_commands, name="token")
    app.command("user")(here(add_user))
    app.command("password")(here(set_password))
    app.command("login-link")(here(make_link))
    app.command("migrate")(here(migrate))
    app.command("doctor")(examine)


@token_commands.command("create")
@here
def create_token(
    name: Annotated[str, typer.Argument(help="What it is for, so that you know it again.")],
    days: Annotated[
        int, typer.Option(min=0, max=tokens.MOST_DAYS, help="Ends after so many days; 0 lasts until revoked.")
    ] = tokens.USUAL_DAYS,
    user: Annotated[str, typer.Option(help="Whose it is; the first admin's when left out.")] = "",
    *,
    scope: Annotated[Role | None, typer.Option(help="What it may at most; what its user may when left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API token. It is shown this once."""
    with audit.changing("token.create") as session:
        owner = accounts.find_user(session, user) if user else accounts.first_admin(session)
        lifetime = timedelta(days=days) if days else None
        made = tokens.issue_token(session, owner, name=name, scope=scope, lifetime=lifetime)
    if as_json:
        role = tokens.role_of(made.credential, owner)
        ends = made.credential.expires_at.isoformat() if made.credential.expires_at else None
        facts = {"id": made.credential.id, "name": name, "user": owner.name, "role": role, "expires_at": ends}
        write_json(facts | {"token": made.secret})
    else:
        typer.echo(made.secret)
        ends = f"ends in {days} days" if days else "lasts until it is revoked"
        typer.echo(f"It is shown this once, and {ends}.", err=True)  # a script keeps the other line alone


@token_commands.command("list")
@here
def list_tokens(*, as_json: AsJson = False) -> None:
    """List the tokens that are good; none is shown."""
    with db.reading() as session:
        rows: list[dict[str, Any]] = [
            {
                "id": token.id,
                "name": token.name,
                "user": user.name,
                "role": tokens.role_of(token, user).value,
                "created_at": token.created_at.isoformat(),
                "used_at": token.used_at.isoformat() if token.used_at else None,
                "expires_at": token.expires_at.isoformat() if token.expires_at else None,
            }
            for token, user in tokens.list_tokens(session)
        ]
    if as_json:
        write_json(rows)
        return
    made = Listing("id", "name", "user", "role", "created", "used, to the hour", "ends", numbers=("id",))
    for row in rows:
        times = (ago(row["created_at"]), ago(row["used_at"]) or "never", row["expires_at"] or "when revoked")
        made.add(row["id"], row["name"], row["user"], row["role"], *times)
    console().print(made)


@token_commands.command("revoke")
@here
def revoke_token(token_id: int, *, as_json: AsJson = False) -> None:
    """End a token."""
    with audit.changing("token.revoke") as session:
        tokens.revoke_token(session, token_id)
    if as_json:
        write_json({"id": token_id, "revoked": True})
    else:
        console().print(f"Token {token_id} is revoked.")


def add_user(
    name: str,
    role: Annotated[Role, typer.Option(help="viewer reads, runner starts and stops, admin registers models.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Add a user, who logs in by `temper login-link --user NAME`."""
    with audit.changing("user.add") as session:
        audit.note("user", name=name, role=role)
        user = accounts.add_user(session, name, role=role)
        audit.note("user", user.id)
    if as_json:
        write_json({"name": name, "role": role})
    else:
        console().print(plain(f"{name} is a {role}. A way in: temper login-link --user {name}"))


def set_password(
    user: Annotated[str, typer.Option(help="Whose; the first admin's when left out.")] = "", *, as_json: AsJson = False
) -> None:
    """Set a password, asked for on the terminal or read as one line of standard input."""
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    _migrate()  # on a new server this is the first thing done
    with audit.changing("password.change") as session:
        person = accounts.find_user(session, user) if user else accounts.first_admin(session)
        audit.note("user", person.id, name=person.name)
        accounts.set_password(session, person, password)
    if as_json:
        write_json({"user": person.name})
    else:
        console().print(plain(f"{person.name} logs in with this password. Every earlier login has ended."))


def make_link(
    user: Annotated[str, typer.Option(help="Who is let in; the first admin when left out.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Print an address that lets you in once."""
    from app.server import make_login_url  # noqa: PLC0415 - only this command needs it

    url = settings().url or left_in_home("url") or f"http://127.0.0.1:{settings().port}"
    link = make_login_url(url.rstrip("/"), user=user)
    if as_json:
        write_json({"url": link, "minutes": settings().login_link_minutes})
    else:
        typer.echo(link)


def migrate(*, as_json: AsJson = False) -> None:
    """Bring the database to the tables of this version."""
    _migrate()
    with audit.changing("database.migrate"):
        pass  # the entry alone: before it there may have been no table for one
    if as_json:
        write_json({"migrated": True})
    else:
        console().print("The database is up to date.")


def _migrate() -> None:
    from app.domain.upgrades import UpgradeError, upgrade_database  # noqa: PLC0415 - alembic is slow to load

    try:
        upgrade_database()
    except UpgradeError as error:
        fail(str(error))


def examine(*, as_json: AsJson = False) -> None:
    """Say what is there and what is missing; exit 1 when Temper cannot work."""
    findings = checkup.examine()
    if as_json:
        write_json([{"what": each.what, "is_fine": each.is_fine, "says": each.says} for each in findings])
    else:
        console().print(shown({("✓ " if each.is_fine else "✗ ") + each.what: each.says for each in findings}))
    if not all(each.is_fine for each in findings):
        fail("Something that Temper needs is missing; see above.")
