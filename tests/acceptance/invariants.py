"""What must hold at every moment, whatever died when."""

from __future__ import annotations

from lure.client import Client
from store import garbage
from tests.acceptance.world import World


def check_learned_once_in_order(client: Client, stream: str, chunks: list[str]) -> None:
    """Every accepted chunk is learned, exactly once, in the order in which it was accepted."""
    learned = [c for c in reversed(client.chunks(stream)["items"]) if c["state"] == "learned"]
    assert [c["id"] for c in learned] == chunks
    assert [c["version"] for c in learned] == sorted({c["version"] for c in learned})
    cycles = [c for c in client.cycles(stream)["items"] if c["state"] == "succeeded"]
    assert [c for cycle in reversed(cycles) for c in cycle["chunks"]] == chunks
    versions = [v["version"] for v in client.versions(stream)["items"]]
    assert versions == list(range(len(chunks), 0, -1))


def check_no_bytes_are_missing(world: World) -> None:
    """No row names bytes that are not there."""
    with world.database.begin() as session:
        assert garbage.missing(session, world.blobs) == []
