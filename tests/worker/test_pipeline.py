"""Cycles of real digits, in this process, on the real store."""

from __future__ import annotations

from store import aliases, events, jobs
from store.states import ChunkState, CycleState
from tests.worker.conftest import Bench
from worker.pipeline import process_next


def test_two_chunks_make_two_versions(bench: Bench) -> None:
    stream = bench.stream()
    first, second = bench.admitted(stream, range(150)), bench.admitted(stream, range(150, 300))

    assert process_next(bench.context, stream.id) is not None
    assert process_next(bench.context, stream.id) is not None
    assert process_next(bench.context, stream.id) is None

    one, two = bench.version(stream, 1), bench.version(stream, 2)
    assert (one.parent, one.ordinal, one.chunks) == (None, 1, [first.id])
    assert (two.parent, two.ordinal, two.chunks) == (1, 2, [second.id])
    assert one.verdict["promoted"]
    assert one.unlearning is None
    assert two.unlearning is not None
    assert two.unlearning["strategy"] == "lure"
    assert one.metrics["prequential_accuracy"] is None
    assert 0 <= two.metrics["prequential_accuracy"] <= 1
    assert two.verdict["candidate"]["images"] == two.metrics["images"] > one.metrics["images"]
    assert two.environment["threads"] == 1
    for version in (one, two):
        assert len(bench.context.blobs.read(version.digest)) == version.size_bytes
        assert bench.context.blobs.read(version.sidecar_digest)
    assert [chunk.state for chunk in bench.chunks(stream)] == [ChunkState.LEARNED] * 2
    assert [chunk.version for chunk in bench.chunks(stream)] == [1, 2]


def test_a_cycle_tells_its_stages_timings_and_aliases(bench: Bench) -> None:
    stream = bench.stream()
    bench.admitted(stream, range(150))
    process_next(bench.context, stream.id)

    (cycle,) = bench.cycles(stream)
    assert cycle.state is CycleState.SUCCEEDED
    assert set(cycle.timings) == {"load", "relearn", "evaluate", "save", "gate", "promote"}
    assert cycle.verdict == bench.version(stream, 1).verdict
    assert cycle.resume_digest is None
    where = {alias.name: alias.version for alias in bench.read(aliases.of_stream, stream)}
    assert where == {"champion": 1, "candidate": 1, "latest": 1}
    names = [event.name for event in bench.read(events.after, 0, cycle_id=cycle.id)]
    assert names[0] == "cycle.started"
    assert {"cycle.stage", "cycle.progress", "version.created", "gate.passed"} <= set(names)
    assert (jobs.PROCESS_NEXT, stream.id) in bench.wakes.sent


def test_the_first_claim_fixes_the_normalisation(bench: Bench) -> None:
    stream = bench.stream()
    bench.admitted(stream, range(100))
    process_next(bench.context, stream.id)
    fixed = bench.read_stream(stream.name).normalisation
    assert fixed is not None
    bench.admitted(stream, range(100, 160))
    process_next(bench.context, stream.id)
    assert bench.read_stream(stream.name).normalisation == fixed


def test_too_few_judges_promote_unjudged(bench: Bench) -> None:
    stream = bench.stream(policies={"gate": {"tolerance": 0.02, "min_judge": 10_000}})
    bench.admitted(stream, range(100))
    process_next(bench.context, stream.id)
    verdict = bench.version(stream, 1).verdict
    assert (verdict["outcome"], verdict["promoted"]) == ("unjudged", True)
    assert "too few" in verdict["reason"]


def test_the_same_data_and_seed_give_the_same_weights(bench: Bench) -> None:
    digests = []
    for name in ("one", "two"):
        stream = bench.stream(name)
        bench.admitted(stream, range(100))
        bench.admitted(stream, range(100, 200))
        process_next(bench.context, stream.id)
        process_next(bench.context, stream.id)
        digests.append([bench.version(stream, number).digest for number in (1, 2)])
    assert digests[0] == digests[1]


def test_auto_tells_which_strategy_won_and_what_it_cost(bench: Bench) -> None:
    unlearn = {"strategy": "auto", "candidates": ["warm", "shrink-perturb"], "probe_share": 0.1}
    stream = bench.stream(policies={"unlearn": unlearn})
    bench.admitted(stream, range(60))
    bench.admitted(stream, range(60, 120))
    for _ in range(2):
        process_next(bench.context, stream.id)
    version = bench.version(stream, 2)
    assert version.strategy == "auto"
    assert version.unlearning is not None
    assert version.unlearning["strategy"] == "auto"
    details = version.unlearning["details"]
    assert details["winner"] in unlearn["candidates"]
    assert set(details["losses"]) == set(unlearn["candidates"])
    assert version.environment["flops"]["unlearn"] == version.unlearning["flops"] > 0
