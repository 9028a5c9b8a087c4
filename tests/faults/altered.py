"""
A worker whose surroundings a test can change: `celery -A tests.faults.altered worker`.

The clock of the wall is ahead by the hours in the home's file `clock`; the kernel has killed as many
processes for want of memory as `oom-kills` says; the broker delivers again after two seconds what
was not acknowledged. With `FAULTS_HASTE` set, what is waited for comes sooner.
"""

import os
from datetime import datetime, timedelta
from pathlib import Path

from app.domain import columns

HOME = Path(os.environ["TEMPER_HOME"])
VISIBILITY_SECONDS = 2

_true_now = columns.utc_now


def _number_in(name: str) -> float:
    try:
        return float((HOME / name).read_text("ascii"))
    except (OSError, ValueError):
        return 0.0


def _shifted_now() -> datetime:
    return _true_now() + timedelta(hours=_number_in("clock"))


columns.utc_now = _shifted_now  # before anything takes it by its name

from app.domain import attempts  # noqa: E402
from worker import reconciler, supervisor  # noqa: E402
from worker.main import app  # noqa: E402

setattr(supervisor, "oom_kills", lambda: int(_number_in("oom-kills")))  # noqa: B010 - a name that it imports
app.conf.broker_transport_options |= {"visibility_timeout": VISIBILITY_SECONDS}
if "FAULTS_HASTE" in os.environ:
    attempts.FIRST_DELAY = timedelta(seconds=0.1)
    reconciler.ROUND_SECONDS = 0.3
    reconciler.RESEND_SECONDS = 0.6
