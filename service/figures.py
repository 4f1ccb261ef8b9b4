"""What the rows say of chunks, cycles, versions and workers, read for every scrape.

What is added up over the whole history is read a few times a minute at most, however often somebody
looks: it takes a while where there are many versions and labels.

Every replica that is asked tells the same: whoever adds replicas up takes the greatest of these,
not their sum. `service.families` gives them their names; what this process counts for itself is in
`service.counters`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from fastapi import FastAPI
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service import families
from service.reading import Reading
from service.settings import ServiceSettings
from service.told import of_webhooks
from service.watch import Watch
from store import feedback, figures, totals, webhooks
from store.engine import Database, Session
from store.errors import DatabaseAway
from store.workers import Worker

_REMEMBERED_S = 15.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class History:
    """What was added up over all versions and labels."""

    verdicts: dict[tuple[str, str], int]
    prequential: dict[str, float]
    errors: dict[str, float]
    live: list[figures.Live]
    feedback: dict[str, int]

    @classmethod
    def read(cls, session: Session) -> History:
        return cls(
            verdicts=figures.gate_verdicts(session),
            prequential=figures.prequential_accuracies(session),
            errors=figures.cumulative_errors(session),
            live=figures.live_accuracies(session),
            feedback={one.stream.name: one.images for one in feedback.backlogs(session)},
        )


@dataclass(frozen=True)
class Figures:
    """What was read from the rows at once."""

    streams: list[str]
    chunks: dict[tuple[str, str], int]
    lines: list[figures.Line]
    cycles: list[figures.ActiveCycle]
    totals: dict[tuple[str, str], totals.Total]
    champions: list[figures.Champion]
    replicas: int
    workers: list[Worker] | None
    webhooks: list[webhooks.State]

    @classmethod
    def read(cls, session: Session, *, stale_s: float) -> Figures:
        return cls(
            streams=figures.names(session),
            chunks=figures.chunks_by_state(session),
            lines=figures.lines(session),
            cycles=figures.active_cycles(session),
            totals=totals.of_all(session),
            champions=figures.champions(session, stale_s=stale_s),
            replicas=figures.live_replicas(session, stale_s=stale_s),
            workers=figures.every_worker(session),
            webhooks=webhooks.states(session),
        )


class RowFigures(Collector):
    """What the rows say; nothing while the database is away or hangs."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._reading = Reading("figures", self._read)
        self._history: History | None = None
        self._history_at = 0.0

    async def refresh(self) -> None:
        """Read the rows, if they can be read in a moment; one reading at a time."""
        await self._reading.refresh()

    def _read(self) -> tuple[Figures, History] | None:
        database: Database = self._app.state.database
        watch: Watch = self._app.state.watch
        # a scrape must not wait for a database that is known to be away
        if "database" in watch.degraded:
            return None
        try:
            with database.begin() as session:
                found = Figures.read(session, stale_s=self._stale_s)
                return found, self._remembered(session)
        except DatabaseAway as error:
            log.warning("no figures from the rows", error=str(error))
            return None

    def _remembered(self, session: Session) -> History:
        now = time.monotonic()
        if self._history is None or now - self._history_at > _REMEMBERED_S:
            self._history, self._history_at = History.read(session), now
        return self._history

    @property
    def _stale_s(self) -> float:
        settings: ServiceSettings = self._app.state.settings
        return settings.stale_s

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        latest = self._reading.latest
        if latest is None:
            return
        found, history = latest
        age = GaugeMetricFamily(
            "lure_figures_age_seconds", "Age of the figures that were read from the rows"
        )
        age.add_metric([], self._reading.age_s)
        yield age
        yield from families.of_chunks(found.streams, found.chunks, found.lines, found.totals)
        yield from families.of_cycles(found.streams, found.cycles, found.totals)
        yield from families.of_quality(
            found.streams, history.verdicts, history.prequential, history.errors
        )
        yield from families.of_feedback(
            found.streams, history.live, found.champions, history.feedback
        )
        yield from families.of_serving(found.champions, found.replicas)
        yield from of_webhooks(found.webhooks)
        if found.workers is not None:
            yield from families.of_workers(found.workers, self._stale_s)
