"""One launch of a cycle's ranks: `torchrun` is started, heard to the end, and gone at the end."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from lure_core.cycle import CycleResult, Progress, Start
from worker.context import Context
from worker.errors import WorkerError
from worker.loading import Task
from worker.ranks import job as jobs
from worker.ranks import results
from worker.ranks.telling import HungUp, Listener

_LOOK_EVERY_S = 0.2
_GONE_WITHIN_S = 45.0  # torchrun itself kills a rank that does not end after 30
_LAST_LINES = 40

log = logging.getLogger(__name__)


class RanksDied(WorkerError):
    """The ranks ended without a result and without a fault of their own, as by `kill -9`."""


def launch(
    context: Context, task: Task, start: Start, hear: Callable[[Progress], None]
) -> CycleResult:
    """Run a cycle in as many ranks as the task says.

    Args:
        context: The blobs, and which models of one's own may be imported.
        task: What to run.
        start: Where it starts.
        hear: Called with what rank 0 tells, which waits for its return; what it raises ends them.

    Raises:
        RanksDied: A rank is gone; the others are too.
        BadCheckpoint, BadChunkFile, ConfigError, OSError: As `run_cycle` raised it in a rank.
        RanksRaised: A rank raised something else.
    """
    with tempfile.TemporaryDirectory(prefix="lure-ranks-") as name, ExitStack() as borrowed:
        folder = Path(name)
        linked = _linked(context, folder, {*task.files.new, *task.files.past}, borrowed)
        job = jobs.Job(
            folder=name,
            config=task.config.to_dict(),
            new=[linked[digest] for digest in task.files.new],
            past=[linked[digest] for digest in task.files.past],
            sidecar=None if start.parent is None else start.parent.sidecar,
            resumes=start.resume is not None,
            packages=context.settings.packages,
            threads=task.team.threads,
            timeout_s=context.settings.rank_timeout_s,
        )
        job.write(start)
        with Listener(job.socket) as listener, _Torchrun(folder, task) as torchrun:
            try:
                return results.unpack(_heard(listener, torchrun, hear))
            except HungUp as gone:
                torchrun.await_end()  # what the ranks have to say is said when they are gone
                if fault := jobs.fault(folder):
                    raise fault.raised() from None
                raise RanksDied(f"{gone}: {torchrun.last_words}") from gone


def _linked(
    context: Context, folder: Path, digests: Collection[str], until: ExitStack
) -> dict[str, str]:
    """Paths of the chunk files by their digest, which is their name too, until the ranks end."""
    links = {digest: folder / digest for digest in digests}
    for digest, link in links.items():
        link.symlink_to(context.borrow(digest, until))
    return {digest: str(link) for digest, link in links.items()}


def _heard(listener: Listener, torchrun: _Torchrun, hear: Callable[[Progress], None]) -> bytes:
    """The packed result; everything that rank 0 tells before it goes to `hear`."""
    while not listener.opened(_LOOK_EVERY_S):
        if torchrun.has_ended:
            raise HungUp("the ranks did not begin")
    while isinstance(told := listener.progress(), Progress):
        hear(told)
        listener.go_on()
    with suppress(HungUp):
        listener.go_on()
    return told


class _Torchrun:
    """The processes: in a session of their own, so that signals to the worker's do not reach them.

    Their standard input ends with this process, however that ends, and then they end too. What
    they write to standard error is drained until the last of them has closed it: that tells that
    all are gone, and their memory with them.
    """

    def __init__(self, folder: Path, task: Task) -> None:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(task.team.ranks), "--monitor-interval", "0.1"]
        command += ["--log-dir", str(folder / "logs"), "--local-addr", "127.0.0.1"]
        command += ["-m", "worker.ranks", str(folder)]
        self._process = subprocess.Popen(  # noqa: S603
            command,
            env=_environment(task.team.threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stderr is not None
        self._folder = folder
        self._words: deque[bytes] = deque(maxlen=_LAST_LINES)
        pipe = self._process.stderr
        self._drain = threading.Thread(target=_drain, args=(pipe, self._words), daemon=True)
        self._drain.start()

    def __enter__(self) -> _Torchrun:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def last_words(self) -> str:
        """The end of what the ranks wrote to standard error."""
        return b"".join(self._words).decode(errors="replace").strip()

    def await_end(self) -> None:
        """Let them end by themselves, as they do where one has ended; then end what is left."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GONE_WITHIN_S)
        self.leave()

    def leave(self) -> None:
        """End them all, and wait until they are gone."""
        assert self._process.stdin is not None
        jobs.mark_left(self._folder)
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GONE_WITHIN_S)
        self._process.kill()
        self._process.wait()
        self._drain.join(_GONE_WITHIN_S)
        if self._drain.is_alive():
            log.warning("a rank of this cycle is still there; it holds its memory")


def _drain(pipe: IO[bytes], words: deque[bytes]) -> None:
    with pipe:
        words.extend(pipe)


def _environment(threads: int) -> dict[str, str]:
    """That of this process, with what torchrun would warn of or guess."""
    given = os.environ | {"OMP_NUM_THREADS": str(threads)}
    if sys.platform == "linux":  # one machine: nothing has to leave it
        given.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if sys.flags.safe_path:
        given["PYTHONSAFEPATH"] = "1"
    return given
