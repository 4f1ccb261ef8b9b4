"""What hangs or is slow keeps nobody else from their work."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from service.counters import Counters
from service.loader import Loader
from service.loading import Library
from service.slot import Slots
from store import chunks, streams
from store.blobs import Blobs
from store.engine import Database
from store.models import Version
from store.settings import StoreSettings
from tests.conftest import Servers
from tests.digits import digits_zip, images, png
from tests.service.control import ZIP, connect, problem, push, read_answer
from tests.service.serving import (
    Running,
    digits_stream,
    learned,
    process,
    running,
    service_settings,
    until,
)

URL = "/v1/streams/digits/predictions"
ONE = {"content": png(images[0]), "headers": {"content-type": "image/png"}}


@pytest.fixture
def version(database: Database, blobs: Blobs) -> Version:
    return learned(database, blobs, digits_stream(database))


def test_predictions_need_no_thread_of_the_control_plane(
    settings: StoreSettings, database: Database, version: Version
) -> None:
    with running(service_settings(settings, threads=1)) as api, ThreadPoolExecutor(1) as threads:
        with database.begin() as session:
            streams.lock(session, version.stream_id)
            waits = threads.submit(
                httpx.post, f"{api.url}/v1/streams/digits/aliases/champion:release", timeout=30
            )
            until(lambda: _is_full(api))
            for _ in range(3):
                assert api.client.post(URL, **ONE, timeout=3).status_code == 200
            for path in ("/livez", "/readyz", "/metrics"):
                assert api.client.get(path, timeout=3).status_code == 200
            assert not waits.done()
        assert waits.result().status_code == 200


def _is_full(api: Running) -> bool:
    """Whether the control plane does not answer."""
    try:
        api.client.get("/v1/streams", timeout=0.3)
    except httpx.ReadTimeout:
        return True
    return False


@contextmanager
def hanging(servers: Servers) -> Iterator[None]:
    """PostgreSQL and every process of its own stopped: connections stay, answers do not come."""
    main = servers.postgres.pid
    children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    pids = [main, *map(int, children)]
    for pid in pids:
        _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            _signal(pid, signal.SIGCONT)


def _signal(pid: int, sign: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, sign)


def test_while_postgresql_hangs_predictions_go_on_and_sigterm_ends_the_process(
    settings: StoreSettings, servers: Servers, version: Version
) -> None:
    with (
        process(settings, shutdown_s=1) as replica,
        ThreadPoolExecutor(1) as threads,
        hanging(servers),
        httpx.Client(base_url=replica.url, timeout=5) as client,
    ):
        stuck = threads.submit(httpx.get, f"{replica.url}/v1/streams", timeout=60)
        for _ in range(5):
            assert client.post(URL, **ONE).status_code == 200
        until(lambda: "database" in client.get("/readyz").json()["degraded"])
        assert client.get("/metrics").status_code == 200
        problem(client.post(f"{URL}?version=@nobody", **ONE, timeout=20), 503, "database-away")
        assert client.post(URL, **ONE).status_code == 200
        began = time.monotonic()
        replica.process.terminate()
        assert replica.process.wait(20) == 0
        assert time.monotonic() - began < 10
        assert stuck.result().status_code >= 500


def test_a_body_that_does_not_come_is_a_408(settings: StoreSettings, version: Version) -> None:
    bounds = {"body_timeout_s": 0.5, "predict_timeout_s": 0.5}  # alike, as they are unless said
    with running(service_settings(settings, **bounds, drain_s=0.2)) as api:
        for path, kind in ((URL, "image/png"), ("/v1/streams", "application/json")):
            head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\n"
            with connect(api.url) as connection:
                connection.sendall(f"{head}content-length: 100\r\n\r\n{{".encode())
                answer = read_answer(connection)
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"urn:lure:problem:too-slow" in answer
        assert api.client.post(URL, **ONE).status_code == 200


def test_the_room_for_bodies_is_taken_as_their_bytes_come(
    settings: StoreSettings, version: Version
) -> None:
    with running(service_settings(settings)) as api:
        predictor = api.app.state.watch.predictor
        headers = {"content-type": "image/png"}
        with predictor.hold((256 << 20) - 10_000):
            small = api.client.post(URL, content=iter([png(images[0])]), headers=headers)
            assert small.status_code == 200
            large = api.client.post(URL, content=iter([bytes(10_001)]), headers=headers)
            problem(large, 503, "overloaded")
        with predictor.hold(256 << 20):  # everything was given back
            pass


def test_bodies_that_are_announced_and_do_not_come_keep_nobody_out(
    settings: StoreSettings, version: Version
) -> None:
    room = {"predict_held_bytes": 10_000, "max_predict_bytes": 10_000}
    with running(service_settings(settings, **room)) as api, connect(api.url) as silent:
        head = f"POST {URL} HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\n"
        head += "content-length: 10000\r\nexpect: 100-continue\r\n\r\n"
        silent.sendall(head.encode())
        assert silent.recv(100).startswith(b"HTTP/1.1 100")  # its body is waited for
        assert api.client.post(URL, **ONE).status_code == 200


def test_a_database_that_leaves_while_a_client_waits_for_admission_takes_no_chunk_back(
    settings: StoreSettings, database: Database, servers: Servers, version: Version
) -> None:
    with running(service_settings(settings)) as api, ThreadPoolExecutor(1) as threads:
        before = _chunks(database)
        data = digits_zip(range(9))
        waits = threads.submit(push, api.client, "digits", data, ZIP, prefer="wait=20")
        until(lambda: _chunks(database) > before)
        database.close()
        servers.postgres.kill()
        try:
            answer = waits.result(timeout=30)
        finally:
            servers.postgres.start()
    assert answer.status_code == 202
    assert answer.json()["state"] == "received"


def _chunks(database: Database) -> int:
    with database.begin() as session:
        return len(chunks.page(session, streams.get(session, "digits"), size=10).items)


def test_many_who_ask_for_a_version_wait_for_one_reading(
    database: Database, blobs: Blobs, version: Version
) -> None:
    async def scene() -> None:
        library = Library(database, Loader(blobs), slots=Slots(), counters=Counters())
        found = await asyncio.gather(*(library.load("digits", version) for _ in range(5)))
        library.close()
        assert all(one is found[0] for one in found)

    asyncio.run(scene())


def test_the_bounds_of_an_archive_are_those_that_the_workers_share(
    settings: StoreSettings, version: Version
) -> None:
    for bound in ({"max_members": 8}, {"max_unpacked_bytes": 500}):
        with running(service_settings(settings, **bound)) as api:
            problem(push(api.client, "digits", digits_zip(range(9))), 422, "bad-archive")
            assert push(api.client, "digits", digits_zip(range(2))).status_code in (200, 202)


def test_the_process_ends_at_once_when_all_is_closed(
    settings: StoreSettings, version: Version
) -> None:
    with process(settings) as replica:
        httpx.post(f"{replica.url}{URL}", **ONE).raise_for_status()
        replica.process.terminate()
        began = time.monotonic()
        assert replica.process.wait(20) == 0
        assert time.monotonic() - began < 3
