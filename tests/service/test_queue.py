from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
import redis

from service.queue import Queue
from store.jobs import ADMIT_CHUNK, ADMIT_QUEUE, LEARN_QUEUE, PROCESS_NEXT
from store.settings import StoreSettings
from tests.digits import digits_zip
from tests.service.control import push
from tests.service.serving import running, service_settings


def last_task(client: redis.Redis, queue: str) -> dict[str, object]:
    message = json.loads(client.lrange(queue, 0, 0)[0])
    headers: dict[str, object] = message["headers"]
    return headers


def test_tasks_are_sent_by_name_to_their_queues(settings: StoreSettings) -> None:
    queue = Queue(settings)
    queue.admit("chk_1")
    queue.process(7)
    queue.close()
    with redis.Redis.from_url(settings.redis_client_url) as client:
        admit, learn = last_task(client, ADMIT_QUEUE), last_task(client, LEARN_QUEUE)
    assert (admit["task"], admit["argsrepr"]) == (ADMIT_CHUNK, "('chk_1',)")
    assert (learn["task"], learn["argsrepr"]) == (PROCESS_NEXT, "(7,)")


@pytest.fixture
def silent() -> Iterator[str]:
    """A Redis that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def test_a_redis_that_is_silent_is_asked_once(silent: str, settings: StoreSettings) -> None:
    queue = Queue(settings.model_copy(update={"redis_url": silent}))
    queue.admit("chk_1")
    assert queue.resting
    queue.admit("chk_2")
    queue.close()


def test_uploads_go_on_without_redis(settings: StoreSettings, database: object) -> None:
    away = service_settings(settings, redis_url="redis+socket:///nowhere/redis.sock")
    with running(away) as api:
        api.client.post("/v1/streams", json={"name": "digits"})
        for start in range(3):
            data = digits_zip(range(start, start + 9))
            assert push(api.client, "digits", data).status_code == 202
