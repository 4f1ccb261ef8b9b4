"""Versions out of the blobs into memory: by digest, warmed up, and each one only once at a time."""

from __future__ import annotations

import asyncio
import json
import time

import structlog

from lure_core.checkpoint import load_classifier
from lure_core.errors import BadCheckpoint
from service.errors import ModelAway, NothingServed
from service.slot import Served, Slots
from store import aliases, streams, versions
from store.blobs import Blobs
from store.engine import Database
from store.errors import BlobDamaged, BlobMissing, Conflict, DatabaseAway
from store.models import Stream, Version
from store.states import VersionState

_REST_S = 5.0  # after a version could not be loaded: requests must not read it again and again

log = structlog.get_logger(__name__)


def load(blobs: Blobs, stream: str, version: Version) -> Served:
    """Read, verify and warm up a version; takes a while, and belongs in a thread.

    Raises:
        BlobMissing: Its bytes are not there.
        BlobDamaged: They do not have their digest.
        BadCheckpoint: Weights and sidecar do not fit together.
    """
    sidecar = json.loads(blobs.read(version.sidecar_digest))
    if sidecar.get("weights_sha256") != version.digest:
        raise BadCheckpoint(f"the sidecar of version {version.version} is that of other weights")
    classifier = load_classifier(blobs.read(version.digest), sidecar)
    classifier.warm_up()
    return Served(
        stream=stream,
        version=version.version,
        digest=version.digest,
        classifier=classifier,
        classes=classifier.classes,
        input=classifier.input,
    )


class Library:
    """Finds the version that a request asks for; what is not in memory is loaded and pinned."""

    def __init__(self, database: Database, blobs: Blobs, slots: Slots) -> None:
        self._database = database
        self._blobs = blobs
        self._slots = slots
        self._loading: dict[tuple[str, int], asyncio.Task[Served]] = {}
        self._resting: dict[tuple[str, int], float] = {}  # until when it is not tried again
        self._one_at_a_time = asyncio.Semaphore(1)  # a model may be large
        self.aliases: dict[tuple[str, str], int] = {}

    async def find(self, stream: str, wanted: str | None) -> Served:
        """The champion, or what `wanted` names: `3`, `@alias`.

        Raises:
            NotFound: No such stream, version or alias.
            NothingServed: The stream has no version yet.
            Conflict: That version may not be served.
            DatabaseAway: It is not in memory, and the database cannot be asked.
            ModelAway: Its bytes are missing or damaged.
        """
        if wanted in (None, f"@{aliases.CHAMPION}"):
            served = self._slots.champion(stream)
        elif wanted is not None and wanted.isdecimal():
            served = self._slots.get(stream, int(wanted))
        else:
            assert wanted is not None
            wanted = str(await self._resolve(stream, wanted.removeprefix("@")))
            served = self._slots.get(stream, int(wanted))
        return served or await self._fetch(stream, wanted)

    async def _resolve(self, stream: str, alias: str) -> int:
        """Where the alias points: by its row, or as last seen while the database is away."""
        try:
            return await asyncio.to_thread(self._alias_row, stream, alias)
        except DatabaseAway:
            if (stream, alias) not in self.aliases:
                raise
            return self.aliases[stream, alias]

    def _alias_row(self, stream: str, alias: str) -> int:
        with self._database.begin() as session:
            return aliases.get(session, streams.get(session, stream), alias).version

    async def _fetch(self, stream: str, wanted: str | None) -> Served:
        row, version = await asyncio.to_thread(self._row, stream, wanted)
        if served := self._slots.get(row.name, version.version):
            return served
        key = (row.name, version.version)
        if self._resting.get(key, 0.0) > time.monotonic():
            raise ModelAway(f"version {version.version} could not be loaded a moment ago")
        if key not in self._loading:
            task = asyncio.create_task(self._load(row.name, version))
            self._loading[key] = task
            task.add_done_callback(lambda _: self._loading.pop(key))
        # a client that goes away must not take the others' model along
        return await asyncio.shield(self._loading[key])

    def _row(self, stream: str, wanted: str | None) -> tuple[Stream, Version]:
        with self._database.begin() as session:
            row = streams.get(session, stream)
            champion = aliases.version_of(session, row.id, aliases.CHAMPION)
            if wanted is not None and wanted.isdecimal():
                version = versions.get(session, row, int(wanted))
            elif champion is not None:
                version = versions.get(session, row, champion)
            else:
                raise NothingServed(f"stream {stream} has no version yet; send it a chunk")
        if version.state is not VersionState.READY:
            raise Conflict(f"version {version.version} is {version.state} and cannot be served")
        return row, version

    async def _load(self, stream: str, version: Version) -> Served:
        try:
            async with self._one_at_a_time:
                served = await asyncio.to_thread(load, self._blobs, stream, version)
        except (BlobMissing, BlobDamaged, BadCheckpoint, OSError) as error:
            words = "version cannot be loaded"
            self._resting[stream, version.version] = time.monotonic() + _REST_S
            log.error(words, stream=stream, version=version.version, error=str(error))
            raise ModelAway(f"version {version.version} cannot be loaded now") from error
        self._slots.pin(served)
        return served
