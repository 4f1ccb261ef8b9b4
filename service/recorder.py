"""Keeps predictions for a while, so that labels which come later find their images.

They are gathered in memory, one open pack a stream, and written by a thread of its own: a blob,
then its row. Serving neither waits for it nor fails with it: what finds no room in memory, or
cannot be written, is dropped and counted. While the database or the object store is away
packs wait, as many as have room.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import structlog

from lure_core.policies import Feedback, policy
from service.batcher import Probabilities
from service.counters import Counters
from service.slot import Served
from store import packfile, packs, streams
from store.blobs import Blobs
from store.engine import Database
from store.errors import Away, NotFound
from store.models import Pack
from store.packfile import Record
from store.predictions import Place, new_pack_id

PACK_S = 1.0  # from a pack's first prediction to its writing
PACK_IMAGES = 1000
PACK_BYTES = 4 << 20
HELD_BYTES = 64 << 20  # of images that are not written yet, of all streams
_RECORD_BYTES = 200  # that a record takes beside its image
_LEAST_FREE_BYTES = 1 << 30  # of the disk: chunks and models go before images without a label
_POLICY_S = 5.0  # before a stream's policy is read again
_REST_S = 1.0  # between two trials while the database or the object store is away

log = structlog.get_logger(__name__)


@dataclass
class _OpenPack:
    """Predictions of one stream that are not written yet."""

    stream: str
    due: float  # by the monotonic clock
    id: str = field(default_factory=new_pack_id)
    records: list[Record] = field(default_factory=list)
    size_bytes: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.records) >= PACK_IMAGES or self.size_bytes >= PACK_BYTES


@dataclass(frozen=True)
class _Keeping:
    """Whether a stream's predictions are kept."""

    stream_id: int
    enabled: bool
    until: float  # by the monotonic clock, then it is to be read again


class Recorder:
    """Takes predictions down; any thread may ask it.

    Args:
        database: Where the rows go.
        blobs: Where the images go.
        counters: Told how many predictions were kept and how many were dropped.
        held_bytes: Most bytes of images in memory.
    """

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        *,
        counters: Counters,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._counters = counters
        self._room = held_bytes
        self._open: dict[str, _OpenPack] = {}  # by stream, the one begun first comes first
        self._sealed: deque[_OpenPack] = deque()  # to be written; the first is being written
        self._keeping: dict[str, _Keeping] = {}
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._is_away = False  # the database or the object store, at the last trial
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Write what is there, as far as that is possible in `timeout_s`, and end."""
        with self._changed:
            self._stopping.set()
            self._seal_all()
            self._changed.notify_all()
        self._thread.join(timeout_s)
        with self._changed:
            left = sum(len(pack.records) for pack in self._sealed)
        if left:
            log.warning("predictions were not kept, the service stops", predictions=left)

    def note(
        self, served: Served, images: Sequence[bytes], probabilities: Probabilities
    ) -> list[str]:
        """Take down what was predicted, [N,K] for N images as they were sent; their ids.

        An id whose prediction is not kept names nothing.
        """
        answers, surely = probabilities.argmax(axis=1), probabilities.max(axis=1)
        records = [
            Record(image, served.classes[answer], probability, served.version)
            for image, answer, probability in zip(
                images, answers.tolist(), surely.tolist(), strict=True
            )
        ]
        with self._changed:
            if self._is_switched_off(served.stream):
                return [_nowhere() for _ in records]
            return [self._put(served.stream, record) for record in records]

    def settle(self, pack_ids: Collection[str], *, timeout_s: float) -> None:
        """Write at once those of the packs that are still in memory here, and wait for it."""
        wanted = frozenset(pack_ids)
        with self._changed:
            for pack in [pack for pack in self._open.values() if pack.id in wanted]:
                self._seal(pack)
            self._changed.wait_for(
                lambda: wanted.isdisjoint(pack.id for pack in self._sealed), timeout_s
            )

    def _is_switched_off(self, stream: str) -> bool:
        known = self._keeping.get(stream)
        return known is not None and not known.enabled and time.monotonic() < known.until

    def _put(self, stream: str, record: Record) -> str:
        size_bytes = len(record.image) + _RECORD_BYTES
        if size_bytes > self._room or self._stopping.is_set():
            self._counters.dropped(1)
            return _nowhere()
        pack = self._open.get(stream)
        if pack is None:
            pack = self._open[stream] = _OpenPack(stream, time.monotonic() + PACK_S)
            self._changed.notify_all()  # the writer learns when it will be due
        self._room -= size_bytes
        pack.size_bytes += size_bytes
        pack.records.append(record)
        if pack.is_full:
            self._seal(pack)
        return Place(pack.id, len(pack.records) - 1).prediction_id

    def _seal(self, pack: _OpenPack) -> None:
        del self._open[pack.stream]
        self._sealed.append(pack)
        self._changed.notify_all()

    def _seal_all(self) -> None:
        for pack in list(self._open.values()):
            self._seal(pack)

    def _run(self) -> None:
        while pack := self._next():
            try:
                self._write(pack)
                self._is_away = False
            except Away as error:
                if not self._is_away:
                    log.warning("predictions wait for the database or the blobs", error=str(error))
                self._is_away = True
                if not self._stopping.wait(_REST_S):
                    continue  # it is tried again
                self._counters.dropped(len(pack.records))
            except Exception:  # no fault of one pack may end the writing of all others
                log.exception("predictions were dropped", stream=pack.stream)
                self._counters.dropped(len(pack.records))
            self._forget(pack)

    def _next(self) -> _OpenPack | None:
        """The pack to be written next, waiting for it; None when all is written at the end."""
        with self._changed:
            while not self._sealed:
                if self._stopping.is_set():
                    return None
                oldest = next(iter(self._open.values()), None)
                left_s = None if oldest is None else oldest.due - time.monotonic()
                if oldest is not None and left_s is not None and left_s <= 0:
                    self._seal(oldest)
                else:
                    self._changed.wait(left_s)
            return self._sealed[0]

    def _write(self, pack: _OpenPack) -> None:
        """Bytes, then row; nothing where the stream does not keep its predictions."""
        keeping = self._keeping_of(pack.stream)
        if not keeping.enabled:
            return
        if self._blobs.free_bytes() < _LEAST_FREE_BYTES:
            raise OSError("the disk is nearly full")
        data = packfile.pack(pack.records)
        row = Pack(
            id=pack.id,
            stream_id=keeping.stream_id,
            digest=self._blobs.put_bytes(data, keep_s=packs.KEEP_S),
            size_bytes=len(data),
            predictions=len(pack.records),
        )
        with self._database.begin() as session:
            packs.add(session, row)
        self._counters.kept(len(pack.records))

    def _keeping_of(self, stream: str) -> _Keeping:
        known = self._keeping.get(stream)
        if known is None or time.monotonic() >= known.until:
            known = self._keeping[stream] = self._read_keeping(stream)
        return known

    def _read_keeping(self, stream: str) -> _Keeping:
        until = time.monotonic() + _POLICY_S
        try:
            with self._database.begin() as session:
                row = streams.get(session, stream)
        except NotFound:
            return _Keeping(0, enabled=False, until=until)
        return _Keeping(row.id, policy(Feedback, row.policies).enabled, until)

    def _forget(self, pack: _OpenPack) -> None:
        with self._changed:
            self._sealed.remove(pack)
            self._room += pack.size_bytes
            self._changed.notify_all()


def _nowhere() -> str:
    """An id like any other, of a prediction that is not kept."""
    return Place(new_pack_id(), 0).prediction_id
