"""What the rows say of chunks, cycles and versions, read anew for every scrape of `/metrics`.

`service.metrics` asks for it; what this process counts for itself is in `service.counters`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from fastapi import FastAPI
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.threads import Threads
from service.watch import Watch
from store import figures
from store.engine import Database, Session
from store.errors import DatabaseAway

_PATIENCE_S = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Figures:
    """What was read from the rows at once."""

    chunks: dict[tuple[str, str], int]
    cycles: list[figures.ActiveCycle]
    verdicts: dict[tuple[str, str], int]
    prequential: dict[str, float]
    errors: dict[str, float]
    live: list[figures.Live]

    @classmethod
    def read(cls, session: Session) -> Figures:
        return cls(
            figures.chunks_by_state(session),
            figures.active_cycles(session),
            figures.gate_verdicts(session),
            figures.prequential_accuracies(session),
            figures.cumulative_errors(session),
            figures.live_accuracies(session),
        )


class RowFigures(Collector):
    """What the rows say; nothing while the database is away or hangs."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._threads = Threads("figures", 1)
        self._reading: asyncio.Task[Figures | None] | None = None
        self._figures: Figures | None = None

    async def refresh(self) -> None:
        """Read the rows, if they can be read in a moment; one reading at a time."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._threads.run(self._read))
        await asyncio.wait([self._reading], timeout=_PATIENCE_S)
        self._figures = self._reading.result() if self._reading.done() else None

    def _read(self) -> Figures | None:
        database: Database = self._app.state.database
        watch: Watch = self._app.state.watch
        # a scrape must not wait for a database that is known to be away
        if "database" in watch.degraded:
            return None
        try:
            with database.begin() as session:
                return Figures.read(session)
        except DatabaseAway as error:
            log.warning("no figures from the rows", error=str(error))
            return None

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        found = self._figures
        if found is None:
            return
        chunks = GaugeMetricFamily(
            "lure_chunks", "Chunks by their state", labels=["stream", "state"]
        )
        for labels, count in found.chunks.items():
            chunks.add_metric(labels, count)
        yield chunks
        yield from _cycles(found.cycles)
        yield from _quality(found)


def _cycles(active: list[figures.ActiveCycle]) -> Iterator[Metric]:
    stage = GaugeMetricFamily(
        "lure_cycle_stage_seconds",
        "Seconds that the active cycle is in its stage",
        labels=["stream", "stage"],
    )
    heartbeat = GaugeMetricFamily(
        "lure_cycle_heartbeat_age_seconds",
        "Age of the active cycle's last heartbeat",
        labels=["stream"],
    )
    for cycle in active:
        stage.add_metric([cycle.stream, cycle.stage], cycle.stage_s)
        if cycle.heartbeat_age_s is not None:
            heartbeat.add_metric([cycle.stream], cycle.heartbeat_age_s)
    yield stage
    yield heartbeat


def _quality(found: Figures) -> Iterator[Metric]:
    verdicts = CounterMetricFamily(
        "lure_gate_verdicts", "Verdicts of the gate", labels=["stream", "outcome"]
    )
    for labels, count in found.verdicts.items():
        verdicts.add_metric(labels, count)
    yield verdicts
    yield _by_stream(
        "lure_prequential_accuracy",
        "The champion's on the newest chunk, before it was learned",
        found.prequential,
    )
    yield _by_stream(
        "lure_cumulative_error",
        "CER: the share of wrong answers on the judge images, over all versions",
        found.errors,
    )
    names = ["stream", "version"]
    live = GaugeMetricFamily(
        "lure_live_accuracy", "Of the answers that got a label later", labels=names
    )
    labelled = GaugeMetricFamily(
        "lure_live_labelled", "Answers that got a label later", labels=names
    )
    for one in found.live:
        labels = (one.stream, str(one.version))
        live.add_metric(labels, one.right / one.labelled)
        labelled.add_metric(labels, one.labelled)
    yield live
    yield labelled


def _by_stream(name: str, words: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=["stream"])
    for stream, value in values.items():
        family.add_metric([stream], value)
    return family
