"""Send a claimed message, by the way that its webhook has."""

from datetime import UTC, datetime

from sqlmodel import Session
from standardwebhooks import Webhook as Signer

from app.domain.webhooks.deliveries import Claimed, claimed_of, new_test, store_test
from app.domain.webhooks.models import Delivery, WebhookKind
from app.domain.webhooks.payloads import Payload
from app.domain.webhooks.people import tell_people
from app.domain.webhooks.sending import Outcome, post
from app.domain.webhooks.sentences import sentence_of
from app.domain.webhooks.store import get_webhook


def send(claimed: Claimed) -> Outcome:
    """Send a message and say what became of it; nothing that the other side does raises."""
    if claimed.kind is WebhookKind.PERSON:
        return tell_people(claimed.address, sentence_of(Payload.model_validate_json(claimed.body), claimed.language))
    return post(claimed.address, claimed.body.encode(), headers_of(claimed, at=datetime.now(UTC)))


def send_test(session: Session, webhook_id: int, *, reading: Session) -> Delivery:
    """
    Send a test now and write down what became of it.

    Args:
        reading: reads what is needed to send; `session` begins to write only afterwards, so that nobody waits for a
            slow receiver.
    """
    webhook = get_webhook(reading, webhook_id)
    test = new_test(reading, webhook)
    return store_test(session, test, send(claimed_of(webhook, test)))


def headers_of(claimed: Claimed, *, at: datetime) -> dict[str, str]:
    """
    Return the headers of a message, signed.

    Source:
        Standard Webhooks 1.0: `v1,` and HMAC-SHA256 of `id.timestamp.body` in base64.
    """
    whole = at.replace(microsecond=0)
    return {
        "Content-Type": "application/json",
        "User-Agent": "Temper",
        "webhook-id": claimed.message_id,
        "webhook-timestamp": str(int(whole.timestamp())),
        "webhook-signature": Signer(claimed.secret).sign(claimed.message_id, whole, claimed.body),
    }
