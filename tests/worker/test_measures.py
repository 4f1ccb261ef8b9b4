"""What is measured of a version, and what is lost with the bytes of the one before."""

from __future__ import annotations

from store import scores
from tests.worker.conftest import Bench
from worker.pipeline import process_next


def test_without_the_scores_of_its_parent_a_version_is_made_that_remembers_nothing(
    bench: Bench,
) -> None:
    stream = bench.stream(architecture="mlp")
    for start in (0, 60):
        bench.admitted(stream, range(start, start + 60))
    process_next(bench.context, stream.id)
    lost = bench.version(stream, 1).scores_digest
    assert lost is not None
    bench.context.blobs.local(lost).unlink()
    process_next(bench.context, stream.id)
    two = bench.version(stream, 2)
    assert (two.parent, two.metrics["forgetting"]) == (1, None)
    entries = scores.read(bench.context.blobs, two)
    assert entries is not None
    assert [entry["best"] for entry in entries] == [None, None]
