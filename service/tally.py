"""Counts by version, of the versions that were asked for last.

Versions grow without end, so these series must go again, which prometheus_client cannot do for
several processes. So each keeps its own counts, and writes them down for the others.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterator

import structlog
from prometheus_client.metrics_core import CounterMetricFamily, Metric

from service.sharing import Shared

VERSIONS = 500  # in each process; those asked for longest ago go

Key = tuple[str, int]  # stream and version
_OTHERS: Key = ("", 0)  # all that went together, so that the sum over all series never falls
Row = tuple[str, int, int, float]  # and images, and seconds

log = structlog.get_logger(__name__)


class Tally:
    """Images and seconds of computing, by version. Any thread may add to it."""

    def __init__(self, shared: Shared | None = None) -> None:
        self._shared = shared
        self._lock = threading.Lock()
        self._publishing = threading.Lock()  # a lock of its own: a disk holds up nobody who counts
        self._images: OrderedDict[Key, int] = OrderedDict()
        self._seconds: dict[Key, float] = {}
        self._others_images, self._others_seconds = 0, 0.0
        if shared is not None:
            self._take_over(shared)

    def add(self, stream: str, version: int, *, images: int = 0, seconds: float = 0.0) -> None:
        """That version answered so many images, or computed for so long."""
        key = (stream, version)
        with self._lock:
            self._images[key] = self._images.get(key, 0) + images
            self._images.move_to_end(key)
            self._seconds[key] = self._seconds.get(key, 0.0) + seconds
            while len(self._images) > VERSIONS:
                oldest, gone = self._images.popitem(last=False)
                self._others_images += gone
                self._others_seconds += self._seconds.pop(oldest)

    def publish(self) -> None:
        """Write the counts down, where there are others to read them; any thread may."""
        if self._shared is None:
            return
        path = self._shared.folder / f"versions_{self._shared.place}.json"
        fresh = path.with_suffix(".fresh")
        with self._publishing:
            try:
                fresh.write_text(json.dumps(self._counts()))
                fresh.replace(path)
            except OSError as error:  # others go on with what was written last
                log.warning("counts by version cannot be written", error=str(error))

    def collect(self) -> Iterator[Metric]:
        """The sums over all processes; of the others what they published last."""
        self.publish()
        images: defaultdict[Key, int] = defaultdict(int)
        seconds: defaultdict[Key, float] = defaultdict(float)
        for stream, version, count, spent in self._rows():
            images[stream, version] += count
            seconds[stream, version] += spent
        labels = ["stream", "version"]
        predicted = CounterMetricFamily("lure_predictions", "Images predicted", labels=labels)
        computed = CounterMetricFamily(
            "lure_version_compute_seconds", "Seconds of computing for each version", labels=labels
        )
        for key, count in images.items():
            names = [key[0], "others" if key == _OTHERS else str(key[1])]
            predicted.add_metric(names, count)
            computed.add_metric(names, seconds[key])
        yield predicted
        yield computed

    def _rows(self) -> Iterator[Row]:
        if self._shared is None:
            yield from self._counts()
            return
        for path in self._shared.folder.glob("versions_*.json"):
            yield from json.loads(path.read_text())

    def _counts(self) -> list[Row]:
        with self._lock:
            rows = [(*key, images, self._seconds[key]) for key, images in self._images.items()]
            if self._others_images or self._others_seconds:
                rows.append((*_OTHERS, self._others_images, self._others_seconds))
            return rows

    def _take_over(self, shared: Shared) -> None:
        """Go on where a dead process at this place had stopped: a count never falls."""
        path = shared.folder / f"versions_{shared.place}.json"
        if path.exists():
            for stream, version, images, seconds in json.loads(path.read_text()):
                if (stream, version) == _OTHERS:
                    self._others_images, self._others_seconds = images, seconds
                else:
                    self.add(stream, version, images=images, seconds=seconds)
