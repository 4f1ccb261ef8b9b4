"""What is counted of storing: refusals for want of room, and requests to an object store."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Counter
from prometheus_client.metrics_core import Metric


class Stowage:
    """Counters; in no registry of Prometheus's own."""

    def __init__(self) -> None:
        self._refusals = Counter(
            "lure_quota_refusals",
            "Uploads that were refused because a quota is used up: of all, or of a stream",
            ["quota"],
            registry=None,
        )
        self._requests = Counter(
            "lure_storage_requests",
            "Requests to the object store, by what was asked and how it ended",
            ["operation", "outcome"],
            registry=None,
        )
        for kind in ("all", "stream"):
            self._refusals.labels(kind)

    def refused(self, kind: str) -> None:
        """An upload found no room in a quota of that kind."""
        self._refusals.labels(kind).inc()

    def asked(self, operation: str, failed: bool) -> None:
        """A request to the object store, or a few of a kind, ended."""
        self._requests.labels(operation, "failed" if failed else "answered").inc()

    def collect(self) -> Iterator[Metric]:
        """Everything, as Prometheus wants it."""
        for counter in (self._refusals, self._requests):
            yield from counter.collect()
