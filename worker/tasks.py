"""The tasks that a queue message can name. Each is a hint: the rows say what there is to do."""

from celery import shared_task
from celery.utils.nodenames import gethostname

from app.domain import db, rescoring, stored_scores
from worker import asker, courier, exporter, supervisor


@shared_task(name="runs.train", ignore_result=True)
def train(run_id: int) -> None:  # noqa: ARG001 - the queue's order decides, not the message's
    """Look at the runs that wait, and train those for which there is a device."""
    supervisor.train_waiting(worker=gethostname())


@shared_task(name="checkpoints.convert", ignore_result=True)
def convert(artifact_id: int) -> None:
    """Look at an adapter that was asked for, and make it if it waits."""
    exporter.make_artifact(artifact_id)


@shared_task(name="checkpoints.merge", ignore_result=True)
def merge(artifact_id: int) -> None:
    """Look at a merged model that was asked for, and make it if it waits."""
    exporter.make_artifact(artifact_id)


@shared_task(name="models.prepare", ignore_result=True)
def prepare(model_id: int) -> None:
    """Look at a registered model, and make it ready to train if it is not."""
    exporter.prepare_model(model_id)


@shared_task(name="verdicts.recompute", ignore_result=True)
def recompute(before_run_id: int) -> None:
    """Store the scores of some runs that are missing or stale; the next message names the runs before them."""
    with db.reading() as session:
        batch = rescoring.score_batch(session, before_run_id=before_run_id)
    for scores in batch.runs:
        with db.unit_of_work() as session:  # one each: a trainer's answers wait for this
            stored_scores.store_fresh(session, scores)
    if batch.next_run_id is not None:
        with db.unit_of_work():
            rescoring.ask_for_batch(before_run_id=batch.next_run_id)


@shared_task(name="probes.ask", ignore_result=True)
def ask(asking_id: int) -> None:  # noqa: ARG001 - the rows say what waits, not the message
    """Look at the askings that wait, and make them if there is a device."""
    asker.ask_waiting()


@shared_task(name="webhooks.deliver", ignore_result=True)
def deliver(delivery_id: int) -> None:  # noqa: ARG001 - the rows say what is due, not the message
    """Look at the messages to webhooks, and send those that are due."""
    courier.deliver_due()
