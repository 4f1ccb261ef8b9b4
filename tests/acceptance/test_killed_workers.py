"""A worker may die anywhere; what was accepted is learned once, in order."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lure.processes import Child
from store.states import Stage
from tests.acceptance.invariants import check_learned_once_in_order, check_no_bytes_are_missing
from tests.acceptance.world import Api, World, wait_exit, wait_for


@dataclass
class Veteran:
    """A stream with one version, so that the next cycle has every stage."""

    api: Api
    admit: Child
    learn: Child
    stream: str
    chunks: list[str]

    @property
    def world(self) -> World:
        return self.api.world

    def push(self) -> str:
        chunk = self.api.push_digits(self.stream, len(self.chunks) * 60)
        self.chunks.append(chunk)
        return chunk

    def check(self) -> None:
        self.api.wait_learned(self.stream, self.chunks[-1])
        check_learned_once_in_order(self.api.client, self.stream, self.chunks)
        check_no_bytes_are_missing(self.world)

    def newest_cycle(self) -> dict[str, object]:
        cycle: dict[str, object] = self.api.client.cycles(self.stream)["items"][0]
        return cycle


@pytest.fixture(scope="module")
def veteran(new_world: Callable[..., World]) -> Iterator[Veteran]:
    world = new_world()
    world.beat()
    admit, learn, api = world.admit(), world.learn(), world.api()
    veteran = Veteran(api, admit, learn, api.create_stream(), [])
    veteran.push()
    veteran.check()
    yield veteran
    api.close()


def stages() -> list[Any]:
    """All of them; those in which something is read, learned, kept and served in every run."""
    telling = {Stage.LOAD, "relearn.epoch", Stage.SAVE, Stage.PROMOTE}
    return [
        pytest.param(stage, marks=() if stage in telling else pytest.mark.slow)
        for stage in (*Stage, "relearn.epoch")
    ]


@pytest.mark.parametrize("stage", stages())
def test_a_learner_killed_in_a_stage_loses_nothing(veteran: Veteran, stage: str) -> None:
    veteran.world.trap.write_text(f"cycle.{stage}:kill")
    veteran.push()
    veteran.check()
    assert not veteran.world.trap.exists()
    assert veteran.newest_cycle()["attempt"] == 2


def test_a_worker_killed_with_all_its_processes_loses_nothing(veteran: Veteran) -> None:
    veteran.world.trap.write_text("cycle.relearn.epoch:kill-group")
    veteran.push()
    wait_exit(veteran.learn, veteran.world)
    veteran.learn = veteran.world.learn()
    veteran.check()


def test_a_decoder_killed_in_admission_loses_nothing(veteran: Veteran) -> None:
    veteran.world.trap.write_text("admit.decode:kill")
    veteran.push()
    veteran.push()
    veteran.check()
    assert not veteran.world.trap.exists()


def test_an_admit_worker_killed_whole_on_the_first_chunk_loses_nothing(veteran: Veteran) -> None:
    """The chunk that fixes the stream's shape; the admit worker dies with all its processes."""
    api, world = veteran.api, veteran.world
    stream = api.create_stream()
    world.trap.write_text("admit.decode:kill-group")
    chunks = [api.push_digits(stream, 0), api.push_digits(stream, 60)]
    wait_exit(veteran.admit, world)
    veteran.admit = world.admit()
    api.wait_learned(stream, *chunks)
    check_learned_once_in_order(api.client, stream, chunks)


def test_a_worker_killed_between_commit_and_wake_loses_nothing(veteran: Veteran) -> None:
    veteran.world.trap.write_text("cycle.promoted:kill")
    veteran.push()
    veteran.push()  # nobody but the sweeper wakes this one
    veteran.check()
    assert not veteran.world.trap.exists()


def test_a_stopped_worker_that_comes_back_writes_nothing(veteran: Veteran) -> None:
    veteran.world.trap.write_text("cycle.evaluate:stop")
    chunk = veteran.push()
    wait_for(lambda: not veteran.world.trap.exists(), "the worker to stop", veteran.world)
    heir = veteran.world.learn()
    veteran.api.wait_learned(veteran.stream, chunk)
    heir.kill()
    before = veteran.newest_cycle()
    assert before["attempt"] == 2

    os.killpg(veteran.learn.pid, signal.SIGCONT)
    veteran.push()  # only the one that came back can learn this
    veteran.check()
    assert veteran.api.client.cycles(veteran.stream)["items"][1] == before


def test_a_rollback_while_a_cycle_runs_is_not_overwritten(veteran: Veteran) -> None:
    api, stream = veteran.api, veteran.stream
    veteran.push()
    veteran.check()
    veteran.world.trap.write_text("cycle.gate:stop")
    veteran.push()
    wait_for(lambda: not veteran.world.trap.exists(), "the worker to stop", veteran.world)
    target = api.client.rollback(stream, reason="by hand")["version"]
    os.killpg(veteran.learn.pid, signal.SIGCONT)
    veteran.check()
    assert api.client.stream(stream)["champion"] == target
    verdict = veteran.newest_cycle()["verdict"]
    assert isinstance(verdict, dict)
    assert (verdict["held"], verdict["promoted"]) == (True, False)
    api.client.release(stream)
