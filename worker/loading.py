"""Stage load: everything a cycle works with, out of rows and blobs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lure_core import data, models
from lure_core.config import CycleConfig, InputSpec, Normalisation, Recipe, Replay, Unlearn
from lure_core.cycle import Checkpoint, CycleData
from lure_core.rng import derive_seed
from lure_core.types import Split
from store import chunks, cycles, streams, versions
from store.engine import Session
from store.models import Chunk, Cycle, Json, Stream, Version
from worker.context import Context
from worker.device import use_threads
from worker.team import Team, choose


@dataclass(frozen=True)
class Work:
    """The rows of a claimed cycle, as they were when it was opened."""

    stream: Stream
    cycle: Cycle
    new: Sequence[Chunk]
    past: Sequence[Chunk]
    parent: Version | None

    @property
    def chunks(self) -> list[str]:
        """The ids of all its chunks, oldest first, as the core has their data."""
        return [chunk.id for chunk in (*self.past, *self.new)]

    @property
    def policies(self) -> Json:
        """Those that the cycle began with; the stream's where it began before they were kept."""
        return self._began_with.get("policies", self.stream.policies)

    @property
    def recipe(self) -> Json:
        return self._began_with.get("recipe", self.stream.recipe)

    @property
    def _began_with(self) -> dict[str, Json]:
        return self.cycle.settings or {}


@dataclass(frozen=True)
class Files:
    """The digests of a cycle's chunk files; see `CycleData`."""

    new: Sequence[str]
    past: Sequence[str]

    @classmethod
    def of(cls, new: Sequence[Chunk], past: Sequence[Chunk]) -> Files:
        return cls([file_of(chunk) for chunk in new], [file_of(chunk) for chunk in past])

    def mapped(self, context: Context, classes: Sequence[str], *, check: bool = False) -> CycleData:
        """Their content; read through once before, with `check`.

        Each is mapped before the next is fetched: all of them may be more than the cache keeps, and
        take longer than it lets a file be that nobody has opened.
        """

        def mapped(digest: str) -> data.Samples:
            [samples] = data.load([context.local(digest, check=check)], classes)
            return samples

        return CycleData(*([mapped(one) for one in digests] for digests in (self.new, self.past)))


@dataclass(frozen=True)
class Task:
    """What the core is given, but for the resume state, and the processes that run it."""

    parent: Checkpoint | None
    data: CycleData
    config: CycleConfig
    files: Files
    team: Team


def open_work(context: Context, claim: cycles.Claim) -> Work:
    """Read the rows behind the fence."""

    def read(session: Session) -> Work:
        stream = streams.lock(session, claim.stream_id)
        cycle = cycles.fenced(session, claim)
        return Work(
            stream,
            cycle,
            new=cycles.of_cycle(session, cycle.id),
            past=chunks.by_ids(session, cycle.replay),
            parent=None if cycle.parent is None else versions.get(session, stream, cycle.parent),
        )

    return context.transact(read)


def load(context: Context, claim: cycles.Claim, work: Work) -> Task:
    """Map the chunk files, read the parent's bytes, and fix what the stream leaves open.

    Raises:
        ConfigError: The stream's model takes no such images, this worker may not import it, or
            the class list is open and its head cannot grow.
        UnknownArchitecture: The model is not there any more.
    """
    stream = work.stream
    assert stream.classes is not None, "admission fixes the class list"
    assert stream.input is not None, "admission fixes the input"
    spec, packages = InputSpec.from_dict(stream.input), context.settings.packages
    models.require(stream.architecture, input=spec, allowed=packages)
    if stream.open_classes and work.parent is None:  # later would be too late: the list has grown
        known = len(stream.classes)
        models.require_growth(stream.architecture, input=spec, classes=known, allowed=packages)
    files = Files.of(work.new, work.past)
    mapped = files.mapped(context, stream.classes)
    config = CycleConfig(
        architecture=stream.architecture,
        classes=tuple(stream.classes),
        input=spec,
        normalisation=_normalisation(context, claim, stream, mapped.new),
        recipe=Recipe.from_dict(work.recipe),
        unlearn=Unlearn.from_dict(work.policies["unlearn"]),
        seed=derive_seed(work.cycle.seed, work.cycle.ordinal),
        device=context.settings.device,
        replay=Replay.from_dict(work.policies["replay"]),
        resident_mib=context.settings.resident_mib,
    )
    use_threads(context.settings.threads, config)
    parent = None if work.parent is None else read_version(context, work.parent)
    return Task(parent, mapped, config, files, team_for(context, config, mapped))


def team_for(context: Context, config: CycleConfig, mapped: CycleData) -> Team:
    """The processes that this worker's settings give a cycle."""
    settings = context.settings
    images = sum(len(data.rows_of(part, Split.TRAIN)) for part in mapped.parts)
    return choose(settings.ranks, settings.threads, config, images=images)


def read_version(context: Context, version: Version) -> Checkpoint:
    """A version's bytes, both checked against their digests."""
    sidecar: dict[str, Any] = json.loads(context.read(version.sidecar_digest))
    return Checkpoint(context.read(version.digest), sidecar)


def file_of(chunk: Chunk) -> str:
    """The digest of its canonical file."""
    assert chunk.file_digest is not None, f"{chunk.id} is {chunk.state} without a file"
    return chunk.file_digest


def _normalisation(
    context: Context, claim: cycles.Claim, stream: Stream, new: Sequence[data.Samples]
) -> Normalisation:
    """The stream's; at its first claim that of the chunk at hand, from then on fixed."""
    if stream.normalisation is not None:
        return Normalisation.from_dict(stream.normalisation)
    found = data.normalisation(*new).to_dict()

    def fix(session: Session) -> dict[str, Any]:
        locked = streams.lock(session, claim.stream_id)
        cycles.fenced(session, claim)
        return streams.fix_normalisation(locked, found)

    return Normalisation.from_dict(context.transact(fix))
