"""A worker may die anywhere; what was accepted is learned once, in order."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from store.states import Stage
from tests.acceptance.invariants import check_learned_once_in_order, check_no_bytes_are_missing
from tests.acceptance.world import Api, World, wait_exit, wait_for


@pytest.fixture(scope="module")
def api(new_world: Callable[..., World]) -> Iterator[Api]:
    world = new_world()
    world.beat()
    api = world.api()
    yield api
    api.close()


@pytest.fixture(scope="module")
def veteran(api: Api) -> tuple[str, list[str]]:
    """A stream with one version, so that the next cycle has every stage; and its chunks."""
    admit, learn = api.world.admit(), api.world.learn()
    stream = api.create_stream()
    chunk = api.push_digits(stream, 0)
    api.wait_learned(stream, chunk)
    learn.kill()
    admit.kill()
    return stream, [chunk]


@pytest.mark.parametrize("stage", [*Stage, "relearn.epoch"])
def test_a_learn_worker_killed_in_a_stage_loses_nothing(
    api: Api, veteran: tuple[str, list[str]], stage: str
) -> None:
    stream, chunks = veteran
    admit = api.world.admit()
    doomed = api.world.learn(failpoint=f"cycle.{stage}:kill-group")
    chunks.append(api.push_digits(stream, len(chunks) * 60))
    wait_exit(doomed, api.world)
    survivor = api.world.learn()
    api.wait_learned(stream, chunks[-1])
    survivor.kill()
    admit.kill()
    check_learned_once_in_order(api.client, stream, chunks)
    check_no_bytes_are_missing(api.world)


def test_an_admit_worker_killed_in_decoding_loses_nothing(api: Api) -> None:
    stream = api.create_stream()
    doomed = api.world.admit(failpoint="admit.decode:kill-group")
    chunks = [api.push_digits(stream, 0), api.push_digits(stream, 60)]
    wait_exit(doomed, api.world)
    admit, learn = api.world.admit(), api.world.learn()
    api.wait_learned(stream, *chunks)
    admit.kill()
    learn.kill()
    check_learned_once_in_order(api.client, stream, chunks)
    check_no_bytes_are_missing(api.world)


def test_a_child_that_is_killed_alone_is_replaced(api: Api) -> None:
    stream = api.create_stream()
    admit = api.world.admit()
    doomed = api.world.learn(failpoint="cycle.relearn.epoch:kill")
    chunk = api.push_digits(stream, 0)
    wait_for(
        lambda: (c := api.client.cycles(stream)["items"]) != [] and c[0]["attempt"] >= 2,
        "a second attempt",
        api.world,
    )
    doomed.kill()
    learn = api.world.learn()
    api.wait_learned(stream, chunk)
    admit.kill()
    learn.kill()
    check_learned_once_in_order(api.client, stream, [chunk])


def test_a_stopped_worker_that_comes_back_writes_nothing(api: Api) -> None:
    stream = api.create_stream()
    admit = api.world.admit()
    stopped = api.world.learn(failpoint="cycle.evaluate:stop-once")
    chunks = [api.push_digits(stream, 0)]
    wait_for(
        lambda: _stage(api, stream) == "evaluate",
        "the cycle to reach the stage in which its worker stops",
        api.world,
    )
    heir = api.world.learn()
    api.wait_learned(stream, *chunks)
    heir.kill()
    before = api.client.cycles(stream)["items"]

    os.killpg(stopped.pid, signal.SIGCONT)
    chunks.append(api.push_digits(stream, 60))  # only the one that came back can learn this
    api.wait_learned(stream, chunks[-1])
    assert api.client.cycles(stream)["items"][1:] == before
    assert before[0]["attempt"] == 2
    check_learned_once_in_order(api.client, stream, chunks)
    stopped.kill()
    admit.kill()


def test_a_rollback_while_a_cycle_runs_is_not_overwritten(api: Api) -> None:
    stream = api.create_stream()
    admit, learn = api.world.admit(), api.world.learn()
    api.wait_learned(stream, api.push_digits(stream, 0), api.push_digits(stream, 60))
    api.wait_version(stream, 2)
    learn.kill()

    learn = api.world.learn(failpoint="cycle.gate:stop-once")
    third = api.push_digits(stream, 120)
    wait_for(lambda: _stage(api, stream) == "gate", "the cycle to reach the gate", api.world)
    assert api.client.rollback(stream, reason="by hand")["version"] == 1
    os.killpg(learn.pid, signal.SIGCONT)
    api.wait_learned(stream, third)
    assert api.client.stream(stream)["champion"] == 1
    verdict = api.client.cycles(stream)["items"][0]["verdict"]
    assert (verdict["held"], verdict["promoted"]) == (True, False)
    learn.kill()
    admit.kill()


def _stage(api: Api, stream: str) -> str | None:
    cycles = api.client.cycles(stream)["items"]
    return cycles[0]["stage"] if cycles else None
