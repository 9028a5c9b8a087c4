"""What the client of the REST API asks about webhooks; `TemperClient` has it all."""

from collections.abc import Sequence
from typing import Any, Protocol, TypedDict, cast

from app.client_datasets import Connection


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


class WebhookCalls(Connection, Protocol):
    """Add, list, test and remove webhooks."""

    def webhooks(self) -> list[Webhook]:
        """Return all webhooks."""
        return cast("list[Webhook]", self._ask("GET", "/webhooks")["webhooks"])

    def add_webhook(
        self, address: str, *, kind: str = "program", events: Sequence[str] = (), name: str = "", language: str = "en"
    ) -> Webhook:
        """Add a webhook of some events, or of all; its secret is in what comes back, this once."""
        body: dict[str, Any] = {"address": address, "kind": kind, "name": name, "language": language}
        return cast("Webhook", self._ask("POST", "/webhooks", json=body | ({"events": list(events)} if events else {})))

    def change_webhook(self, webhook_id: int, *, is_enabled: bool) -> Webhook:
        """Switch a webhook on or off."""
        return cast("Webhook", self._ask("PATCH", f"/webhooks/{webhook_id}", json={"is_enabled": is_enabled}))

    def remove_webhook(self, webhook_id: int) -> None:
        """Forget a webhook."""
        self._send("DELETE", f"/webhooks/{webhook_id}")

    def send_webhook_test(self, webhook_id: int) -> Delivery:
        """Send a test and return what became of it."""
        return cast("Delivery", self._ask("POST", f"/webhooks/{webhook_id}/test", timeout=60.0))

    def deliveries(self, webhook_id: int, *, limit: int = 20) -> list[Delivery]:
        """Return the newest messages to a webhook."""
        found = self._ask("GET", f"/webhooks/{webhook_id}/deliveries", params={"limit": limit})
        return cast("list[Delivery]", found["deliveries"])

    def send_delivery_again(self, webhook_id: int, delivery_id: int) -> Delivery:
        """Let a message be sent again."""
        return cast("Delivery", self._ask("POST", f"/webhooks/{webhook_id}/deliveries/{delivery_id}/again"))
