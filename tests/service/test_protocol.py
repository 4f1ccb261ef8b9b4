"""Bounds on what comes before a request, over real sockets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from service.protocol import bounded
from store.engine import Database
from store.keys import ADMIN
from store.settings import StoreSettings
from tests.service.access.conftest import entries, make, shown
from tests.service.control import connect, read_answer
from tests.service.serving import process, service_settings, until

ASK = b"GET / HTTP/1.1\r\nhost: test\r\n"


LARGE = 30 << 20  # bytes: more than the kernel buffers


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the path, or at length."""
    if scope["type"] != "http":
        return
    body = bytes(LARGE) if scope["path"] == "/large" else str(len(scope["path"])).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True)
class Small:
    url: str
    server: uvicorn.Server


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """A server with small bounds."""
    settings = StoreSettings(
        database_url="postgresql://", redis_url="redis://", blobs=tmp_path_factory.mktemp("none")
    )
    wanted = service_settings(
        settings, max_connections=3, max_head_bytes=2000, head_timeout_s=0.5, unread_timeout_s=1.0
    )
    config = uvicorn.Config(
        app, port=0, http=bounded(wanted), ws="none", log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Small(f"http://127.0.0.1:{port}", server)
    server.should_exit = True
    thread.join()


def ask(small: Small, *pieces: bytes) -> bytes:
    with connect(small.url) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return read_answer(connection)


def test_a_request_within_the_bounds_is_answered(small: Small) -> None:
    filler = b"x-filler: " + b"a" * 1500 + b"\r\n"
    assert ask(small, ASK, filler, b"connection: close\r\n\r\n").endswith(b"\r\n\r\n1")


@pytest.mark.parametrize(
    "head",
    [
        ASK + b"x-long: " + b"a" * 3000 + b"\r\n\r\n",
        ASK + b"x-long: " + b"a" * 3000,  # and never an end
        ASK + b"".join(b"x-%d: 1\r\n" % number for number in range(400)) + b"\r\n",
        b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nhost: test\r\n\r\n",
    ],
    ids=["header", "endless", "many", "path"],
)
def test_a_large_head_is_refused(small: Small, head: bytes) -> None:
    for pieces in ([head], [head[:1000], head[1000:]]):
        answer = ask(small, *pieces)
        assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer
    assert b"head-too-large" in answer


def test_a_head_that_never_ends_is_given_up(small: Small) -> None:
    answer = ask(small, ASK)
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
def test_a_connection_without_a_request_is_closed(small: Small, sent: bytes) -> None:
    assert ask(small, sent) == b""


def test_so_is_one_that_says_nothing_sensible_after_an_answer(small: Small) -> None:
    answer = ask(small, ASK + b"\r\n", b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_no_http_is_a_400_without_more_words(small: Small) -> None:
    answer = ask(small, b"\x16\x03\x01 hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


def test_too_many_connections_are_told_so(small: Small) -> None:
    until(lambda: not small.server.server_state.connections)
    with connect(small.url), connect(small.url), connect(small.url):
        until(lambda: len(small.server.server_state.connections) == 3)
        answer = ask(small)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in answer
    until(lambda: not small.server.server_state.connections)
    assert ask(small, ASK, b"connection: close\r\n\r\n").endswith(b"1")


@pytest.mark.parametrize("ends", [b"", b"connection: close\r\n"], ids=["kept", "closing"])
def test_who_does_not_read_is_cut_off_and_who_reads_slowly_is_not(
    small: Small, ends: bytes
) -> None:
    request = b"GET /large HTTP/1.1\r\nhost: test\r\n" + ends + b"\r\n"
    with connect(small.url) as idle, connect(small.url) as slow:
        idle.sendall(request)
        slow.sendall(request)
        taken = 0
        while taken < LARGE and (some := slow.recv(1 << 18)):
            taken += len(some)
            time.sleep(0.02)
        assert taken >= LARGE
        with pytest.raises(ConnectionResetError):
            read_answer(idle)


def test_the_service_runs_with_these_bounds_and_behind_its_proxy_alone(
    settings: StoreSettings, database: Database
) -> None:
    _, text = make(database, [ADMIN])
    told = {"x-forwarded-for": "198.51.100.7, 203.0.113.9"} | shown(text)
    changes = {"max_head_bytes": 3000, "trusted_proxies": "127.0.0.1"}
    with process(settings, **changes) as api, connect(api.url) as connection:
        connection.sendall(ASK + b"x-long: " + b"a" * 4000 + b"\r\n\r\n")
        assert read_answer(connection).startswith(b"HTTP/1.1 431 ")
        with connect(api.url) as other:
            other.sendall(b"GET /livez HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
            answer = read_answer(other).lower()
        httpx.post(f"{api.url}/v1/streams", json={"name": "x"}, headers=told)
    assert [one.address for one in entries(database, "create_stream")] == ["203.0.113.9"]
    assert b"\r\nserver:" not in answer
    assert b"x-content-type-options: nosniff" in answer
