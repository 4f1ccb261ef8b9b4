"""What a version was made from, out of its record: its cycle as it was begun, or otherwise."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lure_core import models
from lure_core.config import CycleConfig
from store import lineage, reruns, streams, versions
from store.engine import Session
from store.lineage import Origin
from store.models import Rerun, Stream, Version
from worker.context import Context
from worker.device import set_threads
from worker.loading import Files, Task, read_version, team_for
from worker.team import Team


@dataclass(frozen=True)
class Recorded:
    """A rerun with the rows that it begins from."""

    rerun: Rerun
    stream: Stream
    version: Version
    origin: Origin

    @property
    def config(self) -> CycleConfig:
        """That of the version's own cycle."""
        assert self.version.config is not None, "a version without it is not run again"
        return CycleConfig.from_dict(self.version.config)


def read(context: Context, claim: reruns.Claim) -> Recorded:
    """Read the rows behind the fence."""

    def rows(session: Session) -> Recorded:
        stream = streams.lock(session, claim.stream_id)
        rerun = reruns.fenced(session, claim)
        version = versions.get(session, stream, rerun.version)
        return Recorded(rerun, stream, version, lineage.origin(session, stream, version))

    return context.transact(rows)


def load(context: Context, made: Recorded) -> Task:
    """Map the same chunk files and read the same parent; use as many threads as were used then.

    Only the device and how much lies on it are this worker's own, and how many processes share the
    work where it may not have as many as there were.

    Raises:
        BlobMissing: A file, or the parent's weights, are not there any more.
        BlobDamaged: They are not what they were.
        ConfigError: This worker may not import the model.
    """
    config = _config(context, made)
    models.require(config.architecture, input=config.input, allowed=context.settings.packages)
    origin = made.origin
    files = Files.of(origin.new, origin.past)
    # read through: a damaged one would be told as another result
    mapped = files.mapped(context, config.classes, check=True)
    parent = None if origin.parent is None else read_version(context, origin.parent)
    then, own = made.version.environment, team_for(context, config, mapped)
    set_threads(then["threads"])
    team = Team(min(then.get("ranks", 1), own.ranks), then["threads"])
    return Task(parent, mapped, config, files, team)


def _config(context: Context, made: Recorded) -> CycleConfig:
    config = replace(
        made.config,
        device=context.settings.device,
        resident_mib=context.settings.resident_mib,
    )
    method = made.rerun.method
    if method == reruns.REPRODUCE:
        return config
    values = config.unlearn.to_dict() | {"strategy": method}
    return replace(config, unlearn=type(config.unlearn).from_dict(values))
