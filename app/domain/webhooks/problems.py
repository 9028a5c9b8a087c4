"""Why a message did not arrive, in sentences."""

from app.domain.messages import Message, message
from app.domain.webhooks.models import DeliveryProblem

_TEXTS = {
    DeliveryProblem.BAD_ADDRESS: message("This is no address that a webhook may have."),
    DeliveryProblem.NOT_TAKEN: message("The service did not take it."),
    DeliveryProblem.NO_ANSWER: message("Nobody answers there."),
    DeliveryProblem.TOO_SLOW: message("The answer took too long. Answer first, and work afterwards."),
    DeliveryProblem.GONE: message("The address answers 410, gone: the webhook was switched off."),
    DeliveryProblem.SWITCHED_OFF: message("The webhook was switched off or changed before it was sent."),
}


def problem_text(problem: DeliveryProblem, detail: str) -> Message:
    """Say why the last try did not arrive."""
    if problem is DeliveryProblem.BAD_ADDRESS and detail:
        return message(
            "Nothing is sent to {address}: it is not of the public internet. An admin of this machine may open its "
            "network in TEMPER_WEBHOOK_ALLOW_PRIVATE.",
            address=detail,
        )
    if problem is DeliveryProblem.NOT_TAKEN and detail.isdigit():
        return message("The address answers {status}, where a success is 200 to 299.", status=detail)
    if problem is DeliveryProblem.NOT_TAKEN and detail:
        return message("The service did not take it: {problem}", problem=detail)
    if problem is DeliveryProblem.NO_ANSWER and detail:
        return message("Nobody answers there: {problem}", problem=detail)
    return _TEXTS[problem]
