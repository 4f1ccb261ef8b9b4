"""A whole service of real processes, each of which a test can start, stop and kill.

Worlds share one PostgreSQL server, in databases of their own, unless a test brings one to kill.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg

from lure.client import Client
from lure.processes import Child, Spec
from lure.servers import Postgres, Redis
from lure.waiting import until
from store.admin.migrating import migrate
from store.blobs import Blobs
from store.engine import Database
from store.settings import StoreSettings
from tests.digits import digits_zip, images, png
from tests.ports import free_port

RECIPE = {"epochs": 2, "learn_epochs": 2, "batch_size": 32, "augmentation": "none"}
_numbers = itertools.count(1)


class World:
    """One database, one Redis, one blob folder, and the processes on them."""

    def __init__(self, postgres: Postgres, folder: Path, **settings: Any) -> None:
        number = next(_numbers)
        self.name = f"world_{number}"
        self.folder = folder / self.name
        self.folder.mkdir()
        self.redis = Redis(self.folder / "redis").start()
        admin = postgres.url.replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.name}")
        usual = {
            "database_url": postgres.url_of(self.name),
            "redis_url": self.redis.url,
            "blobs": self.folder / "blobs",
            **{"heartbeat_s": 0.3, "stale_s": 2.0, "sweep_s": 0.5, "poll_s": 0.5},
        }
        self.settings = StoreSettings(**(usual | settings))
        self.database = Database(self.settings)
        migrate(self.settings, self.database)
        self.blobs = Blobs.of(self.settings, self.database)
        self.children: list[Child] = []
        self.apis: list[Api] = []
        self.patience_s = 60.0
        self._streams = itertools.count(1)

    @property
    def trap(self) -> Path:
        """The file that a worker looks into at every failpoint."""
        return self.folder / "failpoint"

    def cache(self, number: int) -> Path:
        """Where the process that was started as that one, from 0, keeps what it fetched."""
        return self.folder / "caches" / str(number)

    def environment(self, failpoint: str | None, **more: str) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("LURE_")}
        for name, value in self.settings.model_dump(mode="json", exclude_none=True).items():
            env[f"LURE_{name.upper()}"] = str(value)
        env["LURE_FAILPOINT"] = f"@{self.trap}" if failpoint is None else failpoint
        return env | more

    def start(self, name: str, *argv: str, failpoint: str | None = None, **more: str) -> Child:
        """Start `python -m ...` in the foreground; its log is in the world's folder.

        What it fetches from a bucket goes into a cache of its own, as on a machine of its own.
        """
        more = {"LURE_CACHE": str(self.cache(len(self.children)))} | more
        spec = Spec(
            name=name,
            argv=(sys.executable, "-P", "-m", *argv),
            log=self.folder / f"{name}-{len(self.children)}.log",
            env=self.environment(failpoint, **more),
        )
        child = Child(spec)
        child.start()
        self.children.append(child)
        return child

    def api(self, *, failpoint: str | None = None, **more: str) -> Api:
        """Start an API, and wait until it is ready; `more` are settings of its own."""
        self.apis.append(Api(self, failpoint, **more))
        return self.apis[-1]

    def admit(self, *, failpoint: str | None = None) -> Child:
        return self._worker("admit", failpoint)

    def learn(self, *, failpoint: str | None = None) -> Child:
        return self._worker("learn", failpoint)

    def _worker(self, queue: str, failpoint: str | None) -> Child:
        name = f"{queue}-{len(self.children)}"
        argv = ("worker", "worker", "-Q", queue, "-c", "1", "-n", f"{name}@%h")
        return self.start(name, *argv, failpoint=failpoint)

    def beat(self) -> Child:
        return self.start("beat", "worker", "beat", "-s", str(self.folder / "beat"))

    def stream_name(self) -> str:
        return f"digits-{next(self._streams)}"

    def close(self) -> None:
        for api in self.apis:
            api.close()
        for child in self.children:
            child.send(signal.SIGCONT)
            child.kill()
        self.database.close()
        self.redis.stop()

    def logs(self) -> str:
        """The end of every log, for the message of a failed test."""
        return "\n".join(f"--- {child.spec.log.name}\n{child.tail()}" for child in self.children)


class Api:
    """One API process and a client to it."""

    def __init__(self, world: World, failpoint: str | None, **more: str) -> None:
        self.world = world
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        more |= {"LURE_PORT": str(self.port)}
        self.child = world.start("api", "service", failpoint=failpoint, **more)
        self.client = Client(self.url, retries=0)
        self.http = httpx.Client(base_url=self.url, timeout=30)
        wait_for(self.ready, "the API to be ready", world)

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            assert self.child.running, self.child.tail()
            return False

    def client_of(self) -> Client:
        """One more client, for a thread of its own."""
        return Client(self.url, retries=0)

    def close(self) -> None:
        self.client.close()
        self.http.close()
        self.child.kill()

    def create_stream(self, **settings: Any) -> str:
        """A stream with a recipe that learns digits in a second or two."""
        name = self.world.stream_name()
        body = {"architecture": "resnet20s", "recipe": RECIPE} | settings
        self.client.create_stream(name, **body)
        return name

    def push(self, stream: str, payload: bytes, suffix: str = ".zip") -> str:
        """POST a chunk; the id that the service gave it."""
        with tempfile.NamedTemporaryFile(suffix=suffix) as file:
            file.write(payload)
            file.flush()
            return self.client.upload(stream, Path(file.name))["id"]

    def push_digits(self, stream: str, first: int, count: int = 60) -> str:
        return self.push(stream, digits_zip(range(first, first + count)))

    def state(self, stream: str, chunk: str) -> str:
        return self.client.chunk(stream, chunk)["state"]

    def wait_learned(self, stream: str, *chunks: str) -> None:
        for chunk in chunks:
            self.wait_state(stream, chunk, "learned")

    def wait_state(self, stream: str, chunk: str, wanted: str) -> None:
        def reached() -> bool:
            state = self.state(stream, chunk)
            assert state == wanted or state not in ("failed", "rejected"), self.world.logs()
            return state == wanted

        wait_for(reached, f"chunk {chunk} to be {wanted}", self.world)

    def serves(self, stream: str) -> int | None:
        """The version that answers predictions here, None if none does."""
        response = self.http.post(
            f"/v1/streams/{stream}/predictions",
            content=png(images[0]),
            headers={"Content-Type": "image/png"},
        )
        return response.json()["model_version"] if response.status_code == 200 else None

    def wait_serving(self, stream: str, version: int) -> None:
        """Wait until this replica answers with a version."""
        wait_for(
            lambda: self.serves(stream) == version, f"version {version} to be served", self.world
        )

    def wait_marked_served(self, stream: str) -> None:
        """Wait until every chunk of the stream is marked as served by every replica."""
        wait_for(
            lambda: all(chunk["served_at"] for chunk in self.client.chunks(stream)["items"]),
            "every chunk to be marked served",
            self.world,
        )

    def wait_version(self, stream: str, version: int) -> None:
        """Wait until the champion in the database is this version."""
        wait_for(
            lambda: self.client.stream(stream)["champion"] == version,
            f"champion {version} of {stream}",
            self.world,
        )


def wait_for(condition: Callable[[], bool], what: str, world: World) -> None:
    """Wait until something that other processes do has happened."""
    assert until(condition, timeout_s=world.patience_s, poll_s=0.05), f"no {what}\n{world.logs()}"


def wait_exit(child: Child, world: World) -> None:
    """Wait until a process has ended by itself."""
    assert child.wait(world.patience_s), f"{child.spec.name} did not end\n{world.logs()}"
