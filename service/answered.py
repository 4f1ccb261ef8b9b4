"""From the ids of predictions to what was answered, or the reason why that is not known.

A prediction has no row: its id leads to a pack. This process may still have it in memory, then it
is written first; another may, then its row is not there yet, and the id is too young to be called
unknown.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import structlog

from lure_core import policies
from service.recorder import Recorder
from service.schemas.feedback import Reason
from store import feedback, packfile, packs, streams
from store.blobs import Blobs
from store.engine import Database
from store.errors import BadPack, BlobMissing, Conflict
from store.models import Pack, Stream
from store.predictions import Place, place_of

_PACKS = 64  # whose answers stay in memory
_SETTLE_S = 2.0  # for a pack that is in memory to be written
_SOON_S = 30.0  # after which any process must have written its pack

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Answered:
    """What was predicted, by which version, and the pack that has the image."""

    pack_id: str
    label: str
    version: int


@dataclass(frozen=True)
class Absent:
    """Why nothing is known of a prediction."""

    reason: Reason
    detail: str


class Answers:
    """Finds what was answered.

    Args:
        database: Where the packs' rows are.
        blobs: Where their bytes are.
        recorder: What has this process's youngest predictions.
    """

    def __init__(self, database: Database, blobs: Blobs, recorder: Recorder) -> None:
        self._database = database
        self._recorder = recorder

        @lru_cache(maxsize=_PACKS)
        def read(digest: str) -> packfile.Answers:
            with blobs.borrowed(digest) as path:
                return packfile.read_answers(path)

        self._read = read

    def find(self, stream: str, ids: Collection[str]) -> dict[str, Answered | Absent]:
        """What each id stands for; those that have a label already are left out.

        Raises:
            NotFound: There is no such stream.
            Conflict: It keeps no predictions.
        """
        places = {one: place_of(one) for one in ids}
        young = {place.pack_id for place in places.values() if place}
        self._recorder.settle(young, timeout_s=_SETTLE_S)
        with self._database.begin() as session:
            row = streams.get(session, stream)
            keep_s = _keep_s(row)
            labelled = feedback.by_ids(session, row, ids)
            rows = packs.by_ids(session, young)
        return {
            one: self._look(row, place, rows, keep_s)
            for one, place in places.items()
            if one not in labelled
        }

    def _look(
        self, stream: Stream, place: Place | None, rows: dict[str, Pack], keep_s: int
    ) -> Answered | Absent:
        if place is None:
            return Absent(Reason.UNKNOWN, "this is not the id of a prediction")
        pack = rows.get(place.pack_id)
        if pack is None:
            return absent(place, keep_s)
        if pack.stream_id != stream.id:
            return Absent(Reason.OTHER_STREAM, "another stream made this prediction")
        try:
            found, at = self._read(pack.digest), place.index
            return Answered(pack.id, found.labels[at], found.versions[at])
        except (BlobMissing, FileNotFoundError, IndexError):  # expired just now, or no such place
            return absent(place, keep_s)
        except BadPack:
            log.exception("a pack cannot be read", pack=pack.id)
            return Absent(Reason.UNKNOWN, "the record of this prediction is damaged")


def absent(place: Place, keep_s: int) -> Absent:
    """Why there is no record in a stream that keeps them for `keep_s` seconds."""
    age_s = place.age_s()
    if age_s > keep_s:
        return Absent(Reason.EXPIRED, f"records of predictions are kept for {keep_s} s")
    if age_s < _SOON_S:
        return Absent(Reason.NOT_YET, "its record may not be written yet; try again in a moment")
    return Absent(Reason.UNKNOWN, "there is no record of it: it had to make room, or never was")


def _keep_s(stream: Stream) -> int:
    policy = policies.policy(policies.Feedback, stream.policies)
    if not policy.enabled:
        raise Conflict(f"stream {stream.name} keeps no predictions that could be given a label")
    return policy.keep_s
