"""Work done by several processes at once, its results told as they come."""

from __future__ import annotations

import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar, cast

import torch

from lure_core.errors import CoreError
from lure_core.experiment.notices import say_once

T = TypeVar("T")
M = TypeVar("M")

_ENVIRONMENT = {"OMP_WAIT_POLICY": "passive"}
"""Read when torch loads: threads that wait must not spin on the processors the others work on."""


def spread(
    work: Callable[[T], Iterable[M]], tasks: Sequence[T], *, jobs: int, threads: int | None
) -> Generator[M, None, None]:
    """What `work` gives for each task: in order with one job, as it comes with several.

    Args:
        work: For several jobs it must be picklable; each process imports it anew.
        tasks: Begun in their order.
        jobs: Processes; with one, or one task, the work is done in this process.
        threads: Of torch, for each of them; None: see `Experiment.threads`.

    Raises:
        CoreError: A task raised one, or another error: then with its traceback as the message.
    """
    if min(jobs, len(tasks)) > 1:
        yield from _in_processes(work, tasks, jobs=min(jobs, len(tasks)), threads=threads)
        return
    with _threads(threads):
        for task in tasks:
            yield from work(task)


@dataclass(frozen=True, eq=False)
class _Worker:
    process: SpawnProcess
    pipe: Connection


def _in_processes(
    work: Callable[[T], Iterable[M]], tasks: Sequence[T], *, jobs: int, threads: int | None
) -> Iterator[M]:
    threads = threads or max(1, (os.cpu_count() or 1) // jobs)
    left = list(tasks)
    workers = {worker.pipe: worker for worker in (_hire(work, threads) for _ in range(jobs))}
    try:
        for pipe in workers:
            pipe.send((left.pop(0),))
        while workers:
            for pipe in cast(list[Connection], wait(list(workers))):
                kind, content = _received(pipe)
                if kind == "result":
                    yield content
                elif left:
                    pipe.send((left.pop(0),))
                else:
                    pipe.send(None)
                    workers.pop(pipe).process.join()
    finally:
        for worker in workers.values():
            worker.process.terminate()
            worker.process.join()


def _received(pipe: Connection) -> tuple[str, Any]:
    try:
        kind, content = pipe.recv()
    except EOFError:
        raise CoreError("a process of the experiment was killed; run it again to go on") from None
    if kind == "error":
        raise CoreError(content)
    return kind, content


def _hire(work: Callable[[T], Iterable[M]], threads: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work, threads), daemon=True)
    with _environment(OMP_NUM_THREADS=str(threads), **_ENVIRONMENT):
        process.start()
    theirs.close()
    return _Worker(process, ours)


def _serve(pipe: Connection, work: Callable[[T], Iterable[M]], threads: int) -> None:
    """A worker's life."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    say_once()
    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        work_off(pipe, work)


def work_off(pipe: Connection, work: Callable[[T], Iterable[M]]) -> None:
    """Tasks in, results out, until there are no more, or one fails."""
    try:
        while (task := pipe.recv()) is not None:
            for result in work(*task):
                pipe.send(("result", result))
            pipe.send(("done", None))
    except CoreError as error:
        pipe.send(("error", str(error)))
    except (EOFError, BrokenPipeError):
        raise
    except Exception:  # noqa: BLE001 it is told, and raised, on the other side
        pipe.send(("error", traceback.format_exc()))


def _leave_with_parent() -> None:
    """A process that nobody listens to must not go on writing files beside the next experiment."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
