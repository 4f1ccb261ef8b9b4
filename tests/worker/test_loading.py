"""What a cycle is given, out of rows, blobs and settings."""

from __future__ import annotations

from dataclasses import replace

from store.states import CycleState
from tests.lure_core.models import own_nets
from tests.worker.conftest import Bench
from worker.pipeline import process_next

OWN = "lure_core.models.mlp:mlp"


def allowing(bench: Bench, packages: str) -> Bench:
    settings = bench.context.settings.model_copy(update={"model_packages": packages})
    return Bench(replace(bench.context, settings=settings), bench.wakes)


def test_a_model_of_ones_own_is_built_only_from_the_packages_that_are_allowed(
    bench: Bench,
) -> None:
    stream = bench.stream(architecture=OWN)
    bench.admitted(stream, range(60))
    process_next(bench.context, stream.id)
    (cycle,) = bench.cycles(stream)
    assert (cycle.state, cycle.exceptions) == (CycleState.RUNNING, 1)
    assert "models of the package 'lure_core' are not allowed here" in (cycle.error or "")

    process_next(allowing(bench, "others, lure_core.models").context, stream.id)
    assert bench.cycles(stream)[0].state is CycleState.SUCCEEDED
    assert bench.version(stream, 1).digest


def test_an_open_list_is_refused_before_the_first_version_where_the_head_cannot_grow(
    bench: Bench,
) -> None:
    allowed = allowing(bench, "tests")
    stream = bench.stream(architecture=f"{own_nets.HERE}:two_heads", open_classes=True)
    fixed = bench.stream("fixed", architecture=f"{own_nets.HERE}:two_heads")
    for one in (stream, fixed):
        bench.admitted(one, range(60))
        process_next(allowed.context, one.id)
    assert bench.cycles(fixed)[0].state is CycleState.SUCCEEDED
    (cycle,) = bench.cycles(stream)
    assert (cycle.state, cycle.exceptions) == (CycleState.RUNNING, 1)
    assert "this model cannot have an open class list: " in (cycle.error or "")
