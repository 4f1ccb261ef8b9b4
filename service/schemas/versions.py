"""Versions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from service.schemas.common import spelled
from service.schemas.unlearning import MaskShape
from store.classes import of_version
from store.lineage import Origin
from store.models import Chunk, Json, Stream, Version
from store.states import VersionState


class ChunkInput(BaseModel):
    """A chunk that a cycle learned from, and the bytes that it was then."""

    chunk: str
    digest: str = Field(description="Of the payload as it was sent")
    file: str = Field(description="Of the canonical chunk file")

    @classmethod
    def of(cls, chunk: Chunk) -> ChunkInput:
        assert chunk.file_digest is not None, "a chunk that was learned has its file"
        return cls(chunk=chunk.id, digest=spelled(chunk.digest), file=spelled(chunk.file_digest))


class ParentInput(BaseModel):
    """The version that a cycle began from."""

    version: int
    digest: str = Field(description="Of its weights")

    @classmethod
    def of(cls, version: Version) -> ParentInput:
        return cls(version=version.version, digest=spelled(version.digest))


class InputsShape(BaseModel):
    """All that the weights follow from: the same again gives the same bits on the same machine."""

    new: list[ChunkInput]
    past: list[ChunkInput] = Field(description="Chunks of earlier cycles, of which it replayed")
    replay_digest: str | None = Field(description="Names the images that were replayed")
    parent: ParentInput | None
    seed: int | None
    libraries: dict[str, str]
    config: dict[str, Any] = Field(description="Architecture, classes, recipe, unlearning, replay")

    @classmethod
    def of(cls, version: Version, origin: Origin) -> InputsShape | None:
        """Null: made before this was kept."""
        if version.config is None:
            return None
        parent = origin.parent
        return cls(
            new=[ChunkInput.of(chunk) for chunk in origin.new],
            past=[ChunkInput.of(chunk) for chunk in origin.past],
            replay_digest=(version.replayed or {}).get("sha256"),
            parent=parent and ParentInput.of(parent),
            seed=version.environment.get("seed"),
            libraries=version.environment.get("libraries", {}),
            config=version.config,
        )


class VersionShape(BaseModel):
    """An immutable checkpoint with its record."""

    version: int
    stream: str
    parent: int | None
    cycle: str
    chunks: list[str] = Field(description="The chunks that its cycle learned")
    classes: list[str] = Field(
        description="Those that it knows, in the order of its head: the first of the stream's"
    )
    metrics: dict[str, Any] = Field(description="{accuracy, per_class, ece, images, correct, …}")
    strategy: str
    state: VersionState
    aliases: list[str] = Field(description="The names that point at it now")
    verdict: dict[str, Any] = Field(description="The gate's decision with its numbers")
    replayed: dict[str, Any] | None = Field(
        description="What was learned again: {kind, images, sha256}, how many images of earlier"
        " chunks and a digest that names them; null: made before this was recorded"
    )
    unlearning: dict[str, Any] | None = Field(description="What was reset; null: nothing")
    mask: MaskShape | None = Field(description="Its bits are at `…/unlearning/mask`")
    environment: dict[str, Any] = Field(
        description="Seed, threads, precision, libraries; seconds and FLOPs by purpose"
    )
    digest: str = Field(description="Of the weights, `sha256:` and hexadecimal digits")
    bytes: int
    created_at: dt.datetime
    served_at: dt.datetime | None

    @classmethod
    def of(cls, version: Version, stream: Stream, aliases: Sequence[str]) -> VersionShape:
        return cls(
            version=version.version,
            stream=stream.name,
            parent=version.parent,
            cycle=version.cycle_id,
            chunks=version.chunks,
            classes=of_version(stream, version),
            replayed=version.replayed,
            metrics=version.metrics,
            strategy=version.strategy,
            state=version.state,
            aliases=list(aliases),
            verdict=version.verdict,
            unlearning=version.unlearning,
            mask=MaskShape.of(version),
            environment=version.environment,
            digest=spelled(version.digest),
            bytes=version.size_bytes,
            created_at=version.created_at,
            served_at=version.served_at,
        )


class VersionRecord(VersionShape):
    """A version with what it was made from, and in `metrics` with `per_chunk`."""

    inputs: InputsShape | None = Field(
        description="What `lure reproduce` starts from; null: made before this was kept"
    )

    @classmethod
    def whole(
        cls, shown: VersionShape, inputs: InputsShape | None, scores: Sequence[Json] | None
    ) -> VersionRecord:
        """Of what the list shows, with its scores of each chunk, where they were kept."""
        told = dict(shown)
        if scores is not None:
            told["metrics"] = shown.metrics | {"per_chunk": scores}
        return cls(**told, inputs=inputs)
