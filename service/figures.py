"""What the rows say of chunks, cycles, versions and workers, read anew for every scrape.

Every replica that is asked tells the same: whoever adds replicas up takes the greatest of these,
not their sum. `service.families` gives them their names; what this process counts for itself is in
`service.counters`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from fastapi import FastAPI
from prometheus_client.metrics_core import Metric
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

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Figures:
    """What was read from the rows at once."""

    streams: list[str]
    chunks: dict[tuple[str, str], int]
    lines: list[figures.Line]
    cycles: list[figures.ActiveCycle]
    totals: dict[tuple[str, str], totals.Total]
    verdicts: dict[tuple[str, str], int]
    prequential: dict[str, float]
    errors: dict[str, float]
    live: list[figures.Live]
    feedback: dict[str, int]
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
            verdicts=figures.gate_verdicts(session),
            prequential=figures.prequential_accuracies(session),
            errors=figures.cumulative_errors(session),
            live=figures.live_accuracies(session),
            feedback={one.stream.name: one.images for one in feedback.backlogs(session)},
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

    async def refresh(self) -> None:
        """Read the rows, if they can be read in a moment; one reading at a time."""
        await self._reading.refresh()

    def _read(self) -> Figures | None:
        database: Database = self._app.state.database
        watch: Watch = self._app.state.watch
        # a scrape must not wait for a database that is known to be away
        if "database" in watch.degraded:
            return None
        try:
            with database.begin() as session:
                return Figures.read(session, stale_s=self._stale_s)
        except DatabaseAway as error:
            log.warning("no figures from the rows", error=str(error))
            return None

    @property
    def _stale_s(self) -> float:
        settings: ServiceSettings = self._app.state.settings
        return settings.stale_s

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        found = self._reading.latest
        if found is None:
            return
        yield from families.of_chunks(found.streams, found.chunks, found.lines, found.totals)
        yield from families.of_cycles(found.streams, found.cycles, found.totals)
        yield from families.of_quality(
            found.streams, found.verdicts, found.prequential, found.errors
        )
        yield from families.of_feedback(found.streams, found.live, found.champions, found.feedback)
        yield from families.of_serving(found.champions, found.replicas)
        yield from of_webhooks(found.webhooks)
        if found.workers is not None:
            yield from families.of_workers(found.workers, self._stale_s)
