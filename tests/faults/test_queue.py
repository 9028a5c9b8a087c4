"""F6 to F8, F10: what may happen to Redis and to the way there; the database knows all that matters."""

import random
import time
from collections.abc import Iterator

import pytest
from sqlmodel import Session

from app.domain.models import RunState
from tests.conftest import wait_until
from tests.faults.measuring import Fault
from tests.faults.proxy import Proxy
from tests.faults.site import ALTERED, ITERATIONS, Site, check_whole, now, wait_for_iteration

LAUNCH_SECONDS = 4.0  # two of waiting for a broker that does not answer, and a busy machine
DOWN_SECONDS = 3.0  # in earnest a minute
FLAPS = 2  # in earnest thirty
FLAP_SECONDS = 1.0  # in earnest two


def test_f06_an_empty_queue(site: Site, session: Session, fault: Fault, moment: random.Random) -> None:
    """Redis is killed and comes back with nothing: the run that trains is not disturbed, the one that waits starts."""
    training, waiting = site.start_run("brisk"), site.start_run("brisk")
    wait_for_iteration(session, training, moment.randrange(1, ITERATIONS))
    assert site.redis is not None

    site.redis.kill()
    wait_until(lambda: now(session, training).state is RunState.FINISHED, "it was disturbed", seconds=30)
    fault.strike(session, waiting)
    site.start_redis()
    fault.wait(session)

    check_undisturbed(session, site, fault, training, waiting)


def check_undisturbed(session: Session, site: Site, fault: Fault, *run_ids: int) -> None:
    """Fail unless each run came through in its first attempt."""
    for run_id in run_ids:
        check_whole(session, site, run_id)
        fault.count(session, site, run_id)
        assert now(session, run_id).attempt == 1


@pytest.mark.long
def test_f07_no_queue_for_a_while(site: Site, session: Session, fault: Fault) -> None:
    """Pages work, a launch is taken and answered at once, and the run starts when Redis is back."""
    assert site.redis is not None
    site.redis.kill()

    began = time.monotonic()
    run_id = site.start_run("brisk")
    answered = time.monotonic() - began
    pages = [site.ask("GET", path).status_code for path in ("/runs", f"/runs/{run_id}", "/models")]
    time.sleep(DOWN_SECONDS if site.is_hasty else 60)
    assert now(session, run_id).state is RunState.QUEUED
    fault.strike(session, run_id)
    site.start_redis()
    fault.wait(session)

    assert answered < LAUNCH_SECONDS
    assert pages == [200] * 3
    check_whole(session, site, run_id)
    fault.count(session, site, run_id)


@pytest.fixture
def proxy(site: Site) -> Iterator[Proxy]:
    """Put a network between the only worker and Redis."""
    proxy = Proxy(site.redis_port)
    site.kill_workers()
    site.start_worker(TEMPER_REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0")
    yield proxy
    site.workers.pop().kill()
    proxy.close()


def flap(proxy: Proxy, site: Site) -> None:
    """Cut the connection and mend it, again and again."""
    for _ in range(FLAPS if site.is_hasty else 30):
        proxy.cut()
        time.sleep(FLAP_SECONDS if site.is_hasty else 2)
        proxy.mend()
        time.sleep(FLAP_SECONDS if site.is_hasty else 2)


def fall_silent(proxy: Proxy, site: Site) -> None:
    """Keep the connections and pass nothing on."""
    proxy.is_silent = True
    time.sleep(DOWN_SECONDS if site.is_hasty else 60)


def slow_down(proxy: Proxy, site: Site) -> None:
    """Take two seconds for every piece, and go on so."""
    proxy.delay_seconds = 0.5 if site.is_hasty else 2.0


@pytest.mark.long
def test_f08_a_bad_connection(site: Site, session: Session, fault: Fault, proxy: Proxy) -> None:
    """Cut, silent or slow: the run that trains goes on, and the worker takes the next one without a new start."""
    for disturb in (flap, fall_silent, slow_down):
        training = site.start_run("brisk")
        wait_for_iteration(session, training, 3)
        disturb(proxy, site)
        waiting = site.start_run("brisk")
        fault.strike(session, waiting)
        if disturb is not slow_down:
            proxy.mend()
        fault.wait(session)
        check_undisturbed(session, site, fault, training, waiting)
    assert site.workers[0].is_alive


@pytest.mark.long
def test_f10_longer_than_the_broker_waits(site: Site, session: Session, fault: Fault) -> None:
    """A run of many times the visibility timeout has one trainer: no message is left to deliver again."""
    site.keep_one_worker(ALTERED)
    site.start_worker(ALTERED)

    run_id = site.start_run("slow", training={"iterations": 60})
    fault.strike(session, run_id)
    check_whole(session, site, run_id, iterations=60)
    fault.over()

    fault.count(session, site, run_id)
    assert now(session, run_id).attempt == 1
