"""What a version was made from, out of its record: its cycle as it was begun, or otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lure_core import data, models
from lure_core.config import CycleConfig
from lure_core.cycle import CycleData
from store import reruns, streams, versions
from store.engine import Session
from store.models import Rerun, Stream, Version
from worker.context import Context
from worker.device import set_threads
from worker.loading import Task, read_version


@dataclass(frozen=True)
class Recorded:
    """A rerun with the rows that it begins from."""

    rerun: Rerun
    stream: Stream
    version: Version
    parent: Version | None

    @property
    def inputs(self) -> dict[str, Any]:
        assert self.version.inputs is not None, "a version without them is not run again"
        return self.version.inputs


def read(context: Context, claim: reruns.Claim) -> Recorded:
    """Read the rows behind the fence."""

    def rows(session: Session) -> Recorded:
        stream = streams.lock(session, claim.stream_id)
        rerun = reruns.fenced(session, claim)
        version = versions.get(session, stream, rerun.version)
        parent = version.parent and versions.get(session, stream, version.parent)
        return Recorded(rerun, stream, version, parent or None)

    return context.transact(rows)


def load(context: Context, made: Recorded) -> Task:
    """Map the same chunk files and read the same parent; use as many threads as were used then.

    Only the device and how much lies on it are this worker's own.

    Raises:
        BlobMissing: A file, or the parent's weights, are not there any more.
        BlobDamaged: They are not what they were.
        ConfigError: This worker may not import the model.
    """
    config = _config(context, made)
    models.require(config.architecture, input=config.input, allowed=context.settings.packages)
    past, new = (_paths(context, made.inputs[part]) for part in ("past", "new"))
    samples = CycleData(data.load(new, config.classes), data.load(past, config.classes))
    parent = None if made.parent is None else read_version(context, made.parent)
    set_threads(made.version.environment["threads"])
    return Task(parent, samples, config)


def _config(context: Context, made: Recorded) -> CycleConfig:
    config = replace(
        CycleConfig.from_dict(made.inputs["config"]),
        device=context.settings.device,
        resident_mib=context.settings.resident_mib,
    )
    method = made.rerun.method
    if method == reruns.REPRODUCE:
        return config
    values = config.unlearn.to_dict() | {"strategy": method}
    return replace(config, unlearn=type(config.unlearn).from_dict(values))


def _paths(context: Context, named: Sequence[dict[str, Any]]) -> list[Path]:
    """Of the chunk files, each read through once: a damaged one would be told as another result."""
    for one in named:
        context.blobs.check(one["file"])
    return [context.blobs.path(one["file"]) for one in named]
