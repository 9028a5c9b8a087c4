"""Users and the audit log in a real browser: adding, the menu of a user, and a search as one types."""

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from app.domain import accounts
from app.domain.models import Role

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from sqlmodel import Session


def test_a_user_is_added_changed_and_found_in_the_log(page: "Page") -> None:
    """The link stands there to be copied, the menu changes the role, and the log narrows while one types."""
    page.goto("/users")
    page.get_by_label("Name", exact=True).fill("ada")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".secret-line code")).to_contain_text("/login/")
    expect(page.get_by_role("button", name="Copy the link")).to_be_visible()

    page.get_by_role("button", name="Change ada").click()
    page.get_by_role("button", name="viewer").click()
    expect(page.get_by_role("row", name="ada").get_by_text("viewer", exact=True).first).to_be_visible()

    page.goto("/audit")
    expect(page.locator("#audit-entries tbody tr")).to_have_count(2)
    page.get_by_label("Words").fill("role runner")
    expect(page.locator("#audit-entries tbody code")).to_have_text(["user.role", "user.add"])
    page.get_by_label("Action").select_option("user.role")
    expect(page.locator("#audit-entries tbody code")).to_have_text(["user.role"])
    assert "action=user.role" in page.url


def test_disabling_a_user_asks_first(page: "Page", session: "Session") -> None:
    """Tokens that end do not come back: the menu opens a dialog, which can be left."""
    user = accounts.add_user(session, "ada", role=Role.RUNNER)
    session.commit()
    page.goto("/users")

    for answer in ("Leave them in", "Disable"):
        page.get_by_role("button", name="Change ada").click()
        page.get_by_role("button", name="Disable, and end tokens too").click()
        expect(page.get_by_role("dialog")).to_contain_text("Disable ada?")
        session.refresh(user)
        assert user.disabled_at is None
        page.get_by_role("dialog").get_by_role("button", name=answer, exact=True).click()
        expect(page.get_by_role("dialog")).to_have_count(0)

    expect(page.locator("#users-list")).to_contain_text("disabled")
