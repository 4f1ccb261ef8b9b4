"""What the periodic collection does."""

from __future__ import annotations

from store import versions
from store.models import Stream
from store.states import VersionState
from tests.factories import create_version
from tests.worker.conftest import Bench
from worker import sweep


def with_weights(bench: Bench, stream: Stream) -> list[int]:
    with bench.database.begin() as session:
        page = versions.page(session, stream, size=10)
    return [row.version for row in page.items if row.state is VersionState.READY]


def test_collection_thins_the_streams_whose_retention_says_so(bench: Bench) -> None:
    thinned = bench.stream("thinned", policies={"retention": {"versions": 2}})
    whole = bench.stream("whole")
    for stream in (thinned, whole):
        for _ in range(4):
            create_version(bench.database, stream)
    sweep.collect(bench.context)
    assert with_weights(bench, thinned) == [4, 3]
    assert with_weights(bench, whole) == [4, 3, 2, 1]
