"""Who is alive, as `lure doctor` sees it."""

from __future__ import annotations

import time
from importlib import metadata
from typing import Any

from sqlalchemy import func, update

from store import replicas, workers
from store.checks.finding import State
from store.checks.processes import examine
from store.engine import Database
from store.models import WorkerLease
from store.settings import StoreSettings
from tests.store.checks.reading import finding_of, state_of


def tell(database: Database, queue: str, **facts: Any) -> None:
    """A worker's lease."""
    now = time.time()
    told = {"host": queue, "lure": metadata.version("lure"), "clock": now, "swept_at": now}
    with database.begin() as session:
        workers.renew(session, f"{queue}-1", queue=queue, facts=told | facts)


def patient(settings: StoreSettings) -> StoreSettings:
    return settings.model_copy(update={"stale_s": 600.0})


def test_all_are_alive(database: Database, settings: StoreSettings) -> None:
    tell(database, "admit")
    tell(database, "learn")
    with database.begin() as session:
        replicas.renew(session, "one")
    assert {finding.state for finding in examine(patient(settings))} == {State.OK}


def test_nobody_is_alive(database: Database, settings: StoreSettings) -> None:
    found = examine(patient(settings))
    for name in ("api processes", "workers, admit", "workers, learn"):
        assert state_of(found, name) is State.FAILURE


def test_a_lease_that_went_stale_is_nobody(database: Database, settings: StoreSettings) -> None:
    tell(database, "learn")
    with database.begin() as session:
        session.execute(update(WorkerLease).values(seen_at=func.to_timestamp(0)))
    found = finding_of(examine(patient(settings)), "workers, learn")
    assert found.state is State.FAILURE
    assert "worker -Q learn" in found.remedy


def test_a_worker_of_both_queues_counts_for_both(
    database: Database, settings: StoreSettings
) -> None:
    tell(database, "admit+learn")
    found = examine(patient(settings))
    assert state_of(found, "workers, admit") is state_of(found, "workers, learn") is State.OK


def test_sweeps_that_stopped_are_told(database: Database, settings: StoreSettings) -> None:
    tell(database, "admit", swept_at=time.time() - 3600)
    found = finding_of(examine(patient(settings)), "beat")
    assert found.state is State.FAILURE
    assert "worker beat" in found.remedy


def test_a_workers_clock_that_is_off_is_told(database: Database, settings: StoreSettings) -> None:
    tell(database, "learn", clock=time.time() + 90)
    found = finding_of(examine(patient(settings)), "clocks of workers")
    assert found.state is State.WARNING
    assert "learn +90 s" in found.found


def test_two_releases_side_by_side_are_told(database: Database, settings: StoreSettings) -> None:
    tell(database, "learn", lure="0.0.1")
    found = finding_of(examine(patient(settings)), "releases")
    assert found.state is State.WARNING
    assert "0.0.1" in found.found
