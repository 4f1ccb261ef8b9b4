"""How many bytes are stored, by what they are, as Prometheus shows it.

The rows are added up once a minute at most, however often somebody looks: it takes a while where
there are many. Every replica tells the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import structlog
from fastapi import FastAPI
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.reading import Reading
from store import quota
from store.engine import Database
from store.errors import DatabaseAway

_REMEMBERED_S = 60.0

log = structlog.get_logger(__name__)


class StoredBytes(Collector):
    """Nothing while the database is away, or takes too long to add them up."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._reading = Reading("stored", self._read)
        self._known: dict[str, int] | None = None
        self._read_at = 0.0

    async def refresh(self) -> None:
        """Look anew, if it is time."""
        await self._reading.refresh()

    def _read(self) -> dict[str, int] | None:
        if self._known is not None and time.monotonic() - self._read_at < _REMEMBERED_S:
            return self._known
        database: Database = self._app.state.database
        if "database" in self._app.state.watch.degraded:
            return None
        try:
            with database.begin() as session:
                self._known = quota.bytes_by_kind(session)
        except DatabaseAway as error:
            log.warning("the stored bytes could not be added up", error=str(error))
            return None
        self._read_at = time.monotonic()
        return self._known

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        found = self._reading.latest
        if found is None:
            return
        bytes_ = GaugeMetricFamily(
            "lure_stored_bytes",
            "Bytes of blobs by what rows name them as; of several kinds: counted for each",
            labels=["kind"],
        )
        for kind, size in found.items():
            bytes_.add_metric([kind], size)
        yield bytes_
        limit: int | None = self._app.state.settings.quota_bytes
        if limit is not None:
            yield GaugeMetricFamily(
                "lure_quota_bytes", "Most bytes of all blobs that may be stored", value=limit
            )
