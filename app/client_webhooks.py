"""What the client of the REST API asks about webhooks; both clients have it all."""

from collections.abc import Sequence
from typing import Any, TypedDict

from app.client_steps import API, Endpoint, Request, Steps, ask, send

TEST_SECONDS = 60.0  # the address that is tested takes its time too


class Webhook(TypedDict):
    """An address that is told of some events; `secret` comes only when it is added."""

    id: int
    name: str
    kind: str
    address: str
    events: list[str]
    language: str
    is_enabled: bool
    created_at: str
    secret: str


class Delivery(TypedDict):
    """One message to a webhook."""

    id: int
    message_id: str
    event: str
    run_id: int | None
    sweep_id: int | None
    state: str
    tries: int
    created_at: str
    next_try_at: str | None
    problem_message: str
    status_code: int | None
    milliseconds: int | None
    reply: str


class WebhookCalls:
    """Add, list, test and remove webhooks."""

    @Endpoint
    def webhooks(self) -> Steps[list[Webhook]]:
        """Return all webhooks."""
        return ask("GET", "/webhooks", "webhooks")

    @Endpoint
    def add_webhook(
        self, address: str, *, kind: str = "program", events: Sequence[str] = (), name: str = "", language: str = "en"
    ) -> Steps[Webhook]:
        """Add a webhook of some events, or of all; its secret is in what comes back, this once."""
        body: dict[str, Any] = {"address": address, "kind": kind, "name": name, "language": language}
        return ask("POST", "/webhooks", json=body | ({"events": list(events)} if events else {}))

    @Endpoint
    def change_webhook(self, webhook_id: int, *, is_enabled: bool) -> Steps[Webhook]:
        """Switch a webhook on or off."""
        return ask("PATCH", f"/webhooks/{webhook_id}", json={"is_enabled": is_enabled})

    @Endpoint
    def remove_webhook(self, webhook_id: int) -> Steps[None]:
        """Forget a webhook."""
        return _removed(f"/webhooks/{webhook_id}")

    @Endpoint
    def send_webhook_test(self, webhook_id: int) -> Steps[Delivery]:
        """Send a test and return what became of it."""
        return ask("POST", f"/webhooks/{webhook_id}/test", timeout_seconds=TEST_SECONDS)

    @Endpoint
    def deliveries(self, webhook_id: int, *, limit: int = 20) -> Steps[list[Delivery]]:
        """Return the newest messages to a webhook."""
        return ask("GET", f"/webhooks/{webhook_id}/deliveries", "deliveries", params={"limit": limit})

    @Endpoint
    def send_delivery_again(self, webhook_id: int, delivery_id: int) -> Steps[Delivery]:
        """Let a message be sent again."""
        return ask("POST", f"/webhooks/{webhook_id}/deliveries/{delivery_id}/again")


def _removed(path: str) -> Steps[None]:
    yield from send(Request("DELETE", API + path))
