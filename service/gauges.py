"""What a replica serves and misses right now, as Prometheus shows it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from prometheus_client import Gauge
from prometheus_client.metrics_core import Metric

_AWAY = ("database", "redis", "models")


class Gauges:
    """Set from time to time and before they are read; in no registry of Prometheus's own.

    Of several processes they tell together: the oldest version that is served, all listeners, and
    what is away for any.
    """

    def __init__(self) -> None:
        self._served = Gauge(
            "lure_served_version",
            "The version that this replica serves, the oldest if its processes differ; 0: none",
            ["stream"],
            multiprocess_mode="livemin",
            registry=None,
        )
        self._listeners = Gauge(
            "lure_sse_clients",
            "Clients that listen to events",
            multiprocess_mode="livesum",
            registry=None,
        )
        self._away = Gauge(
            "lure_degraded",
            "1: it is away, or does not load",
            ["what"],
            multiprocess_mode="livemax",
            registry=None,
        )
        self._ready = Gauge(
            "lure_ready",
            "1: predictions are answered; 0: it has not looked for every champion yet",
            multiprocess_mode="livemin",
            registry=None,
        )
        self._known: set[str] = set()

    def show(
        self,
        *,
        champions: Mapping[str, int],
        listeners: int,
        degraded: Collection[str],
        ready: bool,
    ) -> None:
        """As it is now."""
        self._known |= champions.keys()
        for stream in self._known:
            self._served.labels(stream).set(champions.get(stream, 0))
        self._listeners.set(listeners)
        for what in _AWAY:
            self._away.labels(what).set(what in degraded)
        self._ready.set(ready)

    def collect(self) -> Iterator[Metric]:
        """Everything, as Prometheus wants it."""
        for gauge in (self._served, self._listeners, self._away, self._ready):
            yield from gauge.collect()
