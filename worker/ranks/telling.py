"""The conversation of rank 0 with its worker: lines of JSON over a socket, bytes where one says so.

Rank 0 speaks first. It tells a progress and waits for "go on"; before that the worker may ask for
the state of this moment. At the end it tells the result.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from io import BufferedRWPair
from pathlib import Path
from typing import Any, Self

from lure_core.cycle import Progress

_GO_ON, _STATE = "go on", "state"
_FIGURES = ("stage", "epoch", "epochs", "loss", "accuracy", "images_per_s")

Said = dict[str, Any]


class HungUp(ConnectionError):
    """The other end is gone."""


class Teller:
    """Rank 0's end; use it as a context."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._line = self._socket.makefile("rwb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _close(self._line, self._socket)

    def progress(self, progress: Progress) -> None:
        """Tell how far the cycle is; return when the worker wants it to go on."""
        _say(self._line, {"progress": {name: getattr(progress, name) for name in _FIGURES}})
        while (answer := _hear(self._line)["answer"]) == _STATE:
            assert progress.state is not None
            _say(self._line, {"state": None}, progress.state())
        assert answer == _GO_ON

    def result(self, packed: bytes) -> None:
        """Tell what came of it; return when the worker has it."""
        _say(self._line, {"result": None}, packed)
        _hear(self._line)


class Listener:
    """The worker's end; rank 0 may come to it, or never. Use it as a context."""

    def __init__(self, path: Path) -> None:
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(path))
        self._door.listen(1)
        self._socket: socket.socket | None = None
        self._line: BufferedRWPair | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _close(self._line, self._socket, self._door)

    def opened(self, timeout_s: float) -> bool:
        """Whether rank 0 has come, after waiting so long for it."""
        if self._line is not None:
            return True
        self._door.settimeout(timeout_s)
        with suppress(TimeoutError):
            self._socket, _ = self._door.accept()
            self._socket.settimeout(None)
            self._line = self._socket.makefile("rwb")
        return self._line is not None

    def progress(self) -> Progress | bytes:
        """Wait for what rank 0 tells next: how far it is, or the result.

        Raises:
            HungUp: It is gone.
        """
        said, content = self._hear()
        if "result" in said:
            return content
        return Progress(**said["progress"], state=self._state)

    def go_on(self) -> None:
        """Let rank 0 go on.

        Raises:
            HungUp: It is gone.
        """
        _say(self._open_line, {"answer": _GO_ON})

    def _state(self) -> bytes:
        _say(self._open_line, {"answer": _STATE})
        _, content = self._hear()
        return content

    def _hear(self) -> tuple[Said, bytes]:
        said = _hear(self._open_line)
        return said, _bytes(self._open_line, said["bytes"])

    @property
    def _open_line(self) -> BufferedRWPair:
        assert self._line is not None, "rank 0 has not come yet"
        return self._line


def _close(*ends: BufferedRWPair | socket.socket | None) -> None:
    for end in ends:
        if end is not None:
            with suppress(OSError):  # what was said last is not wanted any more
                end.close()


def _say(line: BufferedRWPair, said: Said, content: bytes = b"") -> None:
    try:
        line.write(json.dumps(said | {"bytes": len(content)}).encode() + b"\n")
        line.write(content)
        line.flush()
    except OSError as error:
        raise HungUp(f"nobody listens: {error}") from error


def _hear(line: BufferedRWPair) -> Said:
    try:
        text = line.readline()
    except OSError as error:
        raise HungUp(f"nobody speaks: {error}") from error
    if not text.endswith(b"\n"):
        raise HungUp("nobody speaks any more")
    said: Said = json.loads(text)
    return said


def _bytes(line: BufferedRWPair, count: int) -> bytes:
    content = line.read(count)
    if len(content) < count:
        raise HungUp("cut off in the middle")
    return content
