"""Exports, as the queue `admit` makes them: in a process of their own, which alone loads torch.

What that process says is final: an export that it refuses is refused again. One that dies, or takes
too long, is tried a few times.
"""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from structlog.contextvars import bound_contextvars

from store import artifacts, chunks, cycles, streams, versions
from store.engine import Session
from store.errors import Away, BlobMissing, FenceLost, NotFound
from store.models import Stream, Version
from store.states import VersionState
from worker.context import Context
from worker.errors import Interrupted, WorkerError, is_of_the_machine
from worker.export.job import Answer, Job
from worker.heartbeat import Heartbeat

_LOOK_EVERY_S = 0.2
_LAST_WORDS = 1000  # characters of what a process that died has said

log = logging.getLogger(__name__)


class _Died(WorkerError):
    """The exporting process ended without an answer; the message says how."""


@dataclass(frozen=True)
class _Work:
    """The rows behind a claim, and the chunk files of what the version has seen."""

    stream: Stream
    version: Version
    chunks: Sequence[str]


def make(context: Context, stream_id: int, version: int, kind: str) -> artifacts.Claim | None:
    """Make an artifact that is asked for, if nobody else is doing it.

    Returns:
        The claim under which something was done, or None.
    """
    stale_s = context.settings.stale_s
    with context.database.begin() as session:
        claim = artifacts.claim(session, stream_id, version, kind, stale_s=stale_s)
        if claim is None:
            return None
        stream = streams.name_of(session, stream_id)
    with bound_contextvars(stream=stream, version=version, kind=kind, attempt=claim.attempt):
        _make(context, claim)
    return claim


def _make(context: Context, claim: artifacts.Claim) -> None:
    """Do it under a heartbeat; whatever becomes of it, the claim is no longer held after that."""
    heartbeat = Heartbeat(
        context,
        beat=lambda session: artifacts.beat(session, claim),
        hand_back=lambda session: artifacts.hand_back(session, claim),
    )
    try:
        with heartbeat:
            _export(context, claim, heartbeat)
    except (FenceLost, NotFound) as lost:
        log.warning("nothing more to write: %s", lost)
    except Interrupted:
        heartbeat.hand_back()
        log.info("export handed back")
    except Away as away:
        log.warning("left to be done again: %s", away)
    except Exception as error:
        log.exception("the export raised")
        words = None if is_of_the_machine(error) else str(error)
        with suppress(Away):  # then the heartbeat goes stale, which is a death too
            context.transact(lambda session: artifacts.hand_back(session, claim, error=words))


def _export(context: Context, claim: artifacts.Claim, heartbeat: Heartbeat) -> None:
    work = context.transact(lambda session: _read(session, claim))
    with context.blobs.scratch() as file:
        answer = _run(context, work, file, heartbeat)
        if answer.error is not None or answer.report is None:
            error, report = answer.error or "no report", answer.report
            context.transact(lambda session: artifacts.fail(session, claim, error, report))
            return
        with file.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        made = artifacts.Made(digest, file.stat().st_size, answer.report)
        context.patiently(lambda: context.blobs.put_file(file, digest))
    context.transact(lambda session: artifacts.ready(session, claim, made))


def _read(session: Session, claim: artifacts.Claim) -> _Work:
    stream = streams.lock(session, claim.stream_id)
    version = versions.get(session, stream, claim.version)
    if version.state is not VersionState.READY:
        raise FenceLost(f"version {version.version} is {version.state}")
    past = cycles.get(session, stream, version.cycle_id).replay
    seen = chunks.by_ids(session, [*version.chunks, *past])
    return _Work(stream, version, [one.file_digest for one in seen if one.file_digest])


def _run(context: Context, work: _Work, file: Path, heartbeat: Heartbeat) -> Answer:
    """What the exporting process answers.

    Raises:
        _Died: It ended without an answer, or took too long.
        FenceLost, Interrupted: As `Heartbeat.check`; the process is ended then.
    """
    with tempfile.TemporaryDirectory(prefix="lure-export-") as folder:
        desk = Path(folder)
        job = Job(
            stream=work.stream.name,
            version=work.version.version,
            weights=str(context.local(work.version.digest)),
            sidecar=str(context.local(work.version.sidecar_digest)),
            chunks=[str(path) for one in work.chunks if (path := _found(context, one))],
            packages=list(context.settings.packages),
            file=str(file),
            answer=str(desk / "answer.json"),
        )
        job.write(desk / "job.json")
        status = _attend(desk, heartbeat, limit_s=context.settings.export_limit_s)
        if status != 0:
            heartbeat.check()  # whoever told this process to stop may have told that one too
            words = (desk / "stderr").read_text(errors="replace")[-_LAST_WORDS:].strip()
            raise _Died(f"the exporting process ended with status {status}: {words}")
        return Answer.read(Path(job.answer))


def _found(context: Context, digest: str) -> Path | None:
    """A chunk file, or nothing: others are there to compare on."""
    try:
        return context.local(digest)
    except BlobMissing:
        return None


def _attend(desk: Path, heartbeat: Heartbeat, *, limit_s: float) -> int:
    """Start the process and stay with it; its exit status.

    Its standard input ends with this process, however that ends, and then it ends too.
    """
    deadline = time.monotonic() + limit_s
    command = [sys.executable, "-m", "worker.export", str(desk / "job.json")]
    with (
        (desk / "stderr").open("wb") as stderr,
        subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=stderr
        ) as process,
    ):
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(_LOOK_EVERY_S)
                heartbeat.check()
                if time.monotonic() > deadline:
                    raise _Died(f"it took longer than {limit_s:g} s")
        finally:
            process.kill()
