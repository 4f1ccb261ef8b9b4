"""Work spread over processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from lure_core.errors import ConfigError, CoreError
from lure_core.experiment.pool import spread, work_off


def squares(task: int) -> Iterator[tuple[int, int]]:
    for power in (1, 2):
        yield task, task**power


def surroundings(task: int) -> Iterator[tuple[int, int, int, str | None]]:
    yield task, os.getpid(), torch.get_num_threads(), os.environ.get("OMP_WAIT_POLICY")


def refuse(task: int) -> Iterator[int]:
    if task == 2:
        raise ConfigError("two is too many")
    yield task


def fail(task: int) -> Iterator[int]:
    raise ZeroDivisionError(f"in task {task}")
    yield task


def die_at_two(task: int) -> Iterator[int]:
    if task == 2:
        os._exit(1)
    yield task


def test_one_job_works_here_in_order() -> None:
    found = list(spread(squares, [3, 1, 2], jobs=1, threads=None))
    assert found == [(3, 3), (3, 9), (1, 1), (1, 1), (2, 2), (2, 4)]
    ((_, here, *_),) = spread(surroundings, [0], jobs=1, threads=1)
    assert here == os.getpid()


def test_threads_are_as_before_when_the_work_here_is_done() -> None:
    assert torch.get_num_threads() == 1
    ((_, _, threads, _),) = spread(surroundings, [0], jobs=1, threads=2)
    assert (threads, torch.get_num_threads()) == (2, 1)


def test_several_jobs_do_every_task_once_in_processes_with_threads_of_their_own() -> None:
    before = os.environ.get("OMP_WAIT_POLICY")
    found = list(spread(surroundings, [1, 2, 3, 4, 5], jobs=2, threads=1))
    assert sorted(task for task, *_ in found) == [1, 2, 3, 4, 5]
    pids = {pid for _, pid, *_ in found}
    assert os.getpid() not in pids
    assert {(threads, policy) for *_, threads, policy in found} == {(1, "passive")}
    assert os.environ.get("OMP_WAIT_POLICY") == before
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def told(work: Callable[[int], Iterator[Any]], *tasks: int) -> list[tuple[str, Any]]:
    """What a worker answers to these tasks."""
    ours, theirs = multiprocessing.Pipe()
    for task in tasks:
        ours.send((task,))
    ours.send(None)
    work_off(theirs, work)
    answers = []
    while ours.poll():
        answers.append(ours.recv())
    return answers


def test_a_worker_answers_every_task_until_there_are_no_more() -> None:
    results = [("result", (3, 3)), ("result", (3, 9)), ("done", None)]
    assert told(squares, 3) == results
    assert told(squares, 3, 3) == results * 2
    assert told(squares) == []


def test_what_is_wrong_with_the_settings_is_said_as_it_is() -> None:
    assert told(refuse, 1, 2, 3) == [
        ("result", 1),
        ("done", None),
        ("error", "two is too many"),
    ]


def test_a_fault_is_told_with_its_traceback() -> None:
    ((kind, text),) = told(fail, 1)
    assert kind == "error"
    assert "ZeroDivisionError: in task 1" in text


def test_a_killed_process_ends_the_work_and_the_others() -> None:
    found = []
    with pytest.raises(CoreError, match="was killed; run it again"):
        found.extend(spread(die_at_two, [1, 2, 3], jobs=2, threads=1))
    assert multiprocessing.active_children() == []


def test_without_tasks_nothing_is_begun() -> None:
    assert list(spread(squares, [], jobs=4, threads=1)) == []
