"""`lure push`: from files to a version that has learned them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from lure import shapes, uploads
from lure.client import Client
from lure.errors import LureError, Unreachable
from lure.sse import Event

REASONS = 3
PATIENT_RETRIES = 8  # over about a minute, in which a service may be restarted


class Failures:
    """What is wrong with one path does not keep the others from being learned and told of."""

    def __init__(self) -> None:
        self._noted: list[LureError] = []

    @contextmanager
    def noted(self, path: Path) -> Iterator[None]:
        """Keeps a path's failure for later; without an answer there is no going on."""
        try:
            yield
        except Unreachable:
            raise
        except LureError as error:
            title = error.title if str(path) in error.title else f"{path}: {error.title}"
            self._noted.append(
                LureError(title, detail=error.detail, status=error.status, errors=error.errors)
            )

    def tell(self) -> None:
        """Raises what was noted, as one."""
        if len(self._noted) == 1:
            raise self._noted[0]
        if self._noted:
            raise LureError("\n".join(map(str, self._noted)))


class Pushing:
    """One push, with its progress bars on stderr."""

    def __init__(self, client: Client, stream: str) -> None:
        self.client = client
        self.stream = stream
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            redirect_stdout=sys.stdout.isatty(),  # else the final lines would go to stderr
        )

    def run(self, paths: Sequence[Path]) -> Iterator[str]:
        """Sends all, then waits until each is learned; a line for each as soon as it is.

        Raises:
            LureError: at the end: some were refused, or did not become a version.
            Unreachable: the service went away.
        """
        self._stream_exists()
        self.client.http.retries = PATIENT_RETRIES
        sent: list[tuple[Path, shapes.Chunk]] = []
        failures = Failures()
        with self.progress:
            for path in paths:
                with failures.noted(path):
                    sent.append((path, self._send(path)))
            for path, chunk in sent:
                with failures.noted(path):
                    yield self._outcome(path, chunk)
        failures.tell()

    def _stream_exists(self) -> None:
        try:
            self.client.stream(self.stream)
        except LureError as error:
            if error.status != 404:
                raise
            remedy = f"make it first: lure create {self.stream}"
            raise LureError(
                f"there is no stream {self.stream}", detail=remedy, status=404
            ) from None

    def _send(self, path: Path) -> shapes.Chunk:
        with uploads.as_file(path) as file:
            task = self.progress.add_task(f"{path.name}: sending", total=file.stat().st_size or 1)
            return self.client.upload(
                self.stream, file, on_bytes=lambda sent: self.progress.update(task, completed=sent)
            )

    def _outcome(self, path: Path, chunk: shapes.Chunk) -> str:
        task = self.progress.add_task(f"{path.name}: waiting", total=None)
        learned = self.client.wait_for_chunk(
            self.stream, chunk["id"], on_event=lambda event: self._show(task, path, event)
        )
        self.progress.update(task, description=f"{path.name}: {learned['state']}", total=1)
        self.progress.update(task, completed=1)
        if learned["state"] != "learned" or learned["version"] is None:
            raise self._failure(path, learned)
        version = self.client.version(self.stream, learned["version"])
        return _final_line(learned, version, again=chunk.get("duplicate", False))

    def _show(self, task: TaskID, path: Path, event: Event) -> None:
        """The bar follows the cycle that is running, whichever chunk it is about."""
        if event.name not in {"cycle.stage", "cycle.progress"}:
            return
        told = {**event.data, **(event.data.get("progress") or {})}
        epoch, epochs = told.get("epoch") or 0, told.get("epochs") or 0
        stage = f"{path.name}: {told.get('stage') or 'learning'}"
        self.progress.update(task, description=stage, completed=epoch, total=epochs or None)

    def _failure(self, path: Path, chunk: shapes.Chunk) -> LureError:
        what = f"{path} was not learned: chunk {chunk['id']} is {chunk['state']}"
        return LureError(what, detail=self._reason(chunk))

    def _reason(self, chunk: shapes.Chunk) -> str:
        items = self.client.report(self.stream, chunk["id"]).get("items") or ()
        named = [f"{item['name']}: {item['reason']}" for item in items[:REASONS]]
        return "\n  ".join([chunk["error"] or "see the chunk's report", *named])


def _final_line(chunk: shapes.Chunk, version: shapes.Version, *, again: bool) -> str:
    accuracy = (version["metrics"] or {}).get("accuracy")
    shown = f"{accuracy:.4f}" if isinstance(accuracy, (int, float)) else "unknown"
    refused = f", {chunk['refused']} refused" if chunk["refused"] else ""
    known = " (known already)" if again else ""
    return (
        f"{chunk['stream']}: chunk {chunk['position']} learned{known},"
        f" {chunk['images']} images{refused}, accuracy {shown}, version {version['version']}"
    )
