"""A load of HTTP requests: so many clients, each sends its next request when it has its answer.

    python benchmarks/load.py URL BODY --header "Content-Type: image/png" --clients 8 --seconds 5

Prints one JSON document. It runs in a process of its own and speaks HTTP/1.1 on bare sockets over
kept connections, which costs a few per cent of what any of the servers needs for an answer.
`load()` is for programs that want the same from within.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

_PATIENCE_S = 60.0  # after the end, for answers that are on their way


@dataclass(frozen=True)
class Wanted:
    """What is asked of whom, by how many at once, for how long."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    clients: int
    seconds: float
    warm_s: float = 1.0


@dataclass
class Outcome:
    """What came of the requests that were answered within the measured seconds."""

    seconds: float
    milliseconds: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def per_s(self) -> float:
        """Good answers a second."""
        return len(self.milliseconds) / self.seconds

    def percentile(self, percent: int) -> float:
        """In milliseconds; NaN where there are too few answers to say."""
        if len(self.milliseconds) < 2:
            return float("nan")
        return statistics.quantiles(self.milliseconds, n=100, method="inclusive")[percent - 1]


class _Client(asyncio.Protocol):
    """One connection: sends the same request again and again."""

    def __init__(self, request: bytes, begins: float, ends: float, outcome: Outcome) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._request = request
        self._begins, self._ends = begins, ends
        self._outcome = outcome
        self._answer = bytearray()
        self._missing: int | None = None  # bytes of the body, once its size is known

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self._missing is None:
            head, gap, body = self._answer.partition(b"\r\n\r\n")
            if not gap:
                return
            self._status = int(head[9:12])
            self._missing = _length(head) - len(body)
        else:
            self._missing -= len(data)
        if self._missing <= 0:
            self._note(str(self._status) if self._status != 200 else "")
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._note(f"connection lost: {exc}")
            self.done.set_result(None)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        if self._sent >= self._ends:
            self.done.set_result(None)
            self._transport.close()
            return
        self._answer.clear()
        self._missing = None
        self._transport.write(self._request)

    def _note(self, failure: str) -> None:
        now = time.perf_counter()
        if not self._begins <= now < self._ends:
            return
        if failure:
            self._outcome.failures[failure] = self._outcome.failures.get(failure, 0) + 1
        else:
            self._outcome.milliseconds.append(1e3 * (now - self._sent))


def _length(head: bytearray) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("an answer without Content-Length")


async def _drive(wanted: Wanted) -> Outcome:
    place = urlsplit(wanted.url)
    path = place.path + (f"?{place.query}" if place.query else "")
    told = {"Host": place.netloc, "Content-Length": str(len(wanted.body)), **wanted.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    request = f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + wanted.body
    begins = time.perf_counter() + wanted.warm_s
    ends = begins + wanted.seconds
    outcome = Outcome(wanted.seconds)
    loop = asyncio.get_running_loop()

    def client() -> _Client:
        return _Client(request, begins, ends, outcome)

    made = [
        await loop.create_connection(client, place.hostname, place.port)
        for _ in range(wanted.clients)
    ]
    left = wanted.warm_s + wanted.seconds + _PATIENCE_S
    await asyncio.wait_for(asyncio.gather(*(protocol.done for _, protocol in made)), left)
    return outcome


def load(wanted: Wanted) -> Outcome:
    """The same in a process of its own."""
    options = {"clients": wanted.clients, "seconds": wanted.seconds, "warm": wanted.warm_s}
    headers = [f"--header={name}: {value}" for name, value in wanted.headers.items()]
    numbers = [f"--{name}={value}" for name, value in options.items()]
    program = [sys.executable, __file__, wanted.url, "-", *headers, *numbers]
    run = subprocess.run(program, input=wanted.body, capture_output=True, check=True)
    return Outcome(**json.loads(run.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("body", help="the file with the request's body; - reads standard input")
    parser.add_argument("--header", action="append", default=[], metavar="NAME: VALUE")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm", type=float, default=1.0)
    told = parser.parse_args()
    body = sys.stdin.buffer.read() if told.body == "-" else Path(told.body).read_bytes()
    headers = dict(line.split(": ", 1) for line in told.header)
    wanted = Wanted(told.url, body, headers, told.clients, told.seconds, told.warm)
    json.dump(asdict(uvloop.run(_drive(wanted))), sys.stdout)


if __name__ == "__main__":
    main()
