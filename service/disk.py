"""How full the disk is where the blobs or their cache lie, as Prometheus shows it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import structlog
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.reading import Reading
from service.settings import ServiceSettings

log = structlog.get_logger(__name__)


class Usage(NamedTuple):
    """In bytes; `free` is what this process may still write."""

    size: int
    free: int


class Disk(Collector):
    """The disk that uploads come to, with the blobs or before a bucket; nothing where it hangs."""

    def __init__(self, settings: ServiceSettings) -> None:
        is_elsewhere = "://" in settings.blobs
        self._folder = (settings.cache if is_elsewhere else Path(settings.blobs)).expanduser()
        self._reading = Reading("disk", self._read)

    async def refresh(self) -> None:
        """Look anew."""
        await self._reading.refresh()

    def _read(self) -> Usage | None:
        try:
            found = shutil.disk_usage(next(one for one in _upwards(self._folder) if one.exists()))
        except OSError as error:
            log.warning("the disk of the blobs cannot be asked", error=str(error))
            return None
        return Usage(found.total, found.free)

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        found = self._reading.latest
        if found is None:
            return
        for name, words, value in (
            (
                "lure_disk_size_bytes",
                "Size of the disk that the blobs lie on, or their cache",
                found.size,
            ),
            ("lure_disk_free_bytes", "Of that disk, still free", found.free),
        ):
            yield GaugeMetricFamily(name, words, value=value)


def _upwards(folder: Path) -> Iterator[Path]:
    """It and its parents: the first chunk makes the folder."""
    yield from (folder, *folder.absolute().parents)
