"""
The Celery application of the workers: `celery -A worker.main worker`.

Messages are acknowledged before their work, since they are hints: what a dead worker leaves is
found in the database. Nothing here depends on the broker's visibility timeout. SIGTERM makes the
work be given back: trainers save and leave, and the worker ends once they have.
"""

import os
import signal
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun, worker_process_init, worker_ready, worker_shutting_down

from app.config import settings
from app.domain import db, presence, queue, rescoring
from app.processes import adopt_orphans, die_with
from worker.gpus import devices
from worker.leaving import begin_work, end_work, leave, leave_or_end
from worker.reconciler import Reconciler

app = Celery("temper", broker=settings().broker, include=["worker.tasks"])
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_concurrency=len(devices()) + 1,  # one more than can train, so that converting never waits for a run
    worker_hijack_root_logger=False,
    worker_enable_remote_control=False,  # else whoever reaches the queue could end workers
    worker_cancel_long_running_tasks_on_connection_loss=False,  # a blip of Redis must not end a training
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # a broker may be away for hours; the runs go on
    broker_transport_options={"socket_connect_timeout": 5, "socket_keepalive": True, "health_check_interval": 10},
)
task_prerun.connect(begin_work)
task_postrun.connect(end_work)
_reconciler = Reconciler()


@worker_process_init.connect
def _begin_pool_process(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """
    Give each pool process connections of its own, and tie it to its parent.

    A socket shared across a fork mixes answers. A pool process that outlives the worker would
    train on with nobody to stop it.
    """
    die_with(os.getppid())
    adopt_orphans()
    signal.signal(signal.SIGTERM, leave_or_end)
    for cached in (db.engine, presence.redis, queue.sender):
        cached.cache_clear()


@worker_ready.connect
def _start_reconciler(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    queue.warn_if_open()
    _reconciler.start()
    queue.send([queue.QueueMessage(rescoring.TASK, {"before_run_id": 0})])  # what another version scored


@worker_shutting_down.connect
def _leave(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    leave()
    _reconciler.stop()
