"""Counters of the serving half, kept where it happens; `service.metrics` shows them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import Metric

from service.access.counters import AccessCounters
from service.sharing import shared
from service.slot import Served
from service.tally import Tally

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Counters:
    """Swaps, failed loads and predictions; in no registry of Prometheus's own."""

    def __init__(self) -> None:
        self.swap_s = Histogram(
            "lure_swap_seconds",
            "Seconds to read, verify, warm up and swap in a champion",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10),
            registry=None,
        )
        self.load_failures = Counter(
            "lure_load_failures", "Versions that could not be loaded, each trial", registry=None
        )
        self._records = Counter(
            "lure_prediction_records",
            "Predictions taken down for labels that may come: kept, or dropped for want of room",
            ["outcome"],
            registry=None,
        )
        self._waited_s = Histogram(
            "lure_predict_queue_seconds",
            "Seconds that a request waited for its batch, decoded",
            buckets=_SECONDS,
            registry=None,
        )
        self._batch = Histogram(
            "lure_predict_batch_images",
            "Images computed together",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=None,
        )
        self._computed_s = Histogram(
            "lure_predict_compute_seconds",
            "Seconds to compute a batch",
            buckets=_SECONDS,
            registry=None,
        )
        self._refused = Counter(
            "lure_predict_dropped",
            "Requests that were not computed to their end: the queue was full, the answer too late,"
            " or the client gone",
            ["reason"],
            registry=None,
        )
        # there from the beginning: a series that appears with its first count shows no increase
        for reason in ("full", "late", "gone"):
            self._refused.labels(reason)
        for outcome in ("kept", "dropped"):
            self._records.labels(outcome)
        self.versions = Tally(shared())
        self.access = AccessCounters()

    def predicted(self, stream: str, version: int, images: int) -> None:
        """That many images were predicted by that version."""
        self.versions.add(stream, version, images=images)

    def computed(self, served: Served, images: int, seconds: float) -> None:
        """So many images were computed together by that version, in that time."""
        self.versions.add(served.stream, served.version, seconds=seconds)
        self._batch.observe(images)
        self._computed_s.observe(seconds)

    def waited(self, seconds: float) -> None:
        """A request's images waited that long for their batch to begin."""
        self._waited_s.observe(seconds)

    def refused(self, reason: str) -> None:
        """A request was not computed: `full`, `late` or `gone`."""
        self._refused.labels(reason).inc()

    def kept(self, predictions: int) -> None:
        """So many predictions lie on the disk with their images."""
        self._records.labels("kept").inc(predictions)

    def dropped(self, predictions: int) -> None:
        """So many predictions found no room, or could not be written."""
        self._records.labels("dropped").inc(predictions)

    def collect(self) -> Iterator[Metric]:
        """What is not counted by version, as Prometheus wants it."""
        for counter in (
            self.swap_s,
            self.load_failures,
            self._records,
            self._waited_s,
            self._batch,
            self._computed_s,
            self._refused,
        ):
            yield from counter.collect()
        yield from self.access.collect()
