"""Two of each on PostgreSQL, Redis and an S3 endpoint, each with a cache of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from lure.processes import Child
from store import garbage
from store.fsck.looking import look
from tests.acceptance.invariants import check_learned_once_in_order
from tests.acceptance.world import Api, World, wait_exit, wait_for
from tests.buckets import S3


def cached(world: World, child: Child) -> set[str]:
    """The digests that a process has fetched or put."""
    folder = world.cache(world.children.index(child))
    return {path.name for path in folder.glob("sha256/*/*")}


@pytest.mark.timeout(300)
def test_two_workers_and_two_replicas_share_nothing_but_a_bucket(
    new_world: Callable[..., World], s3: S3, tmp_path: Path
) -> None:
    world = new_world(**s3.settings(tmp_path / "cache"))
    world.beat()
    world.admit()
    learners = [world.learn(), world.learn()]
    one, two = world.api(), world.api()
    streams = [one.create_stream(), one.create_stream()]
    chunks: dict[str, list[str]] = {stream: [] for stream in streams}

    def push(number: int) -> None:
        for stream in streams:
            api = (one, two)[number % 2]
            chunks[stream].append(api.push_digits(stream, number * 60))

    push(0)
    for stream in streams:
        two.wait_learned(stream, *chunks[stream])
    world.trap.write_text("cycle.relearn.epoch:kill-group")
    push(1)
    wait_for(lambda: not all(one.running for one in learners), "a learner to die", world)
    [dead] = [learner for learner in learners if not learner.running]
    wait_exit(dead, world)
    heir = world.learn()  # whose cache is empty
    push(2)
    for stream in streams:
        two.wait_learned(stream, *chunks[stream])
        check_learned_once_in_order(one.client, stream, chunks[stream])
        for api in (one, two):
            api.wait_serving(stream, champion(api, stream))
    check_that_each_fetched_for_itself(world, one, [*learners, heir])
    check_the_store(world)


def check_that_each_fetched_for_itself(world: World, api: Api, learners: list[Child]) -> None:
    """No learner had a file that it did not fetch, and no replica has what it was not sent."""
    files = {chunk["file_digest"] for chunk in rows(world, "SELECT file_digest FROM chunks")}
    assert any(files & cached(world, learner) for learner in learners)
    uploads = {chunk["digest"] for chunk in rows(world, "SELECT digest FROM chunks")}
    for learner in learners:
        assert not uploads & cached(world, learner)
    assert cached(world, api.child) & uploads != uploads


def check_the_store(world: World) -> None:
    """Every row has its bytes with the right digest, all bytes their row; so after a collection."""
    for _ in range(2):
        assert look(world.database, world.blobs, quick=False, grace_s=-1).faults == []
        garbage.collect(world.database, world.blobs)


def rows(world: World, query: str) -> list[dict[str, str]]:
    with world.database.begin() as session:
        return [dict(row._mapping) for row in session.execute(text(query))]


def champion(api: Api, stream: str) -> int:
    version = api.client.stream(stream)["champion"]
    assert version is not None
    return version
