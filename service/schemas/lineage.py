"""The lineage of a stream's versions."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field

from store.lineage import Node
from store.models import Stream
from store.states import VersionState


class NodeShape(BaseModel):
    """A version in the graph."""

    version: int
    parent: int | None
    chunks: list[str] = Field(description="Those that its cycle learned")
    strategy: str
    state: VersionState
    aliases: list[str]
    accuracy: float | None
    outcome: str | None = Field(description="The gate's: passed, failed, unjudged, …")
    promoted: bool = Field(description="Whether it has ever been champion, by the gate or by hand")
    reruns: int = Field(description="How often its cycle was run again")

    @classmethod
    def of(cls, node: Node) -> NodeShape:
        version = node.version
        return cls(
            version=version.version,
            parent=version.parent,
            chunks=version.chunks,
            strategy=version.strategy,
            state=version.state,
            aliases=list(node.aliases),
            accuracy=version.accuracy,
            outcome=version.outcome,
            promoted=node.promoted,
            reruns=node.reruns,
        )


class EdgeShape(BaseModel):
    """From a version to one whose cycle began from it."""

    source: int
    target: int


class LineageShape(BaseModel):
    """The newest versions as a graph; a version is newer than the one it came of."""

    stream: str
    versions: int = Field(description="How many the stream has made; the graph may show fewer")
    nodes: list[NodeShape] = Field(description="Oldest first")
    edges: list[EdgeShape] = Field(description="Between versions that are both shown")

    @classmethod
    def of(cls, stream: Stream, nodes: Sequence[Node]) -> LineageShape:
        shown = {node.version.version for node in nodes}
        pairs = [(node.version.parent, node.version.version) for node in nodes]
        return cls(
            stream=stream.name,
            versions=stream.next_version - 1,
            nodes=[NodeShape.of(node) for node in nodes],
            edges=[
                EdgeShape(source=parent, target=child)
                for parent, child in pairs
                if parent is not None and parent in shown
            ],
        )
