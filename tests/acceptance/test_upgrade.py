"""A rolling upgrade: this release on the schema before, the release before on this schema, both."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from alembic import command
from alembic.script import ScriptDirectory

from service.queue import Queue
from store import workers
from store.admin.migrating import alembic_config
from tests.acceptance.invariants import check_learned_once_in_order, check_no_bytes_are_missing
from tests.acceptance.world import Api, World, wait_for
from tests.conftest import Servers
from tests.digits import images, png

pytestmark = pytest.mark.timeout(600)  # workers and APIs of two releases come up one by one

ROOT = Path(__file__).parents[2]
BEFORE = "510894f"  # the last commit of the release before
REVISIONS = [
    script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()
]
OLDER = REVISIONS[1]
NEWER = ("/v1/keys", "/v1/audit", "/v1/webhooks")  # paths that came with the newest schema
ONE = png(images[0])


@pytest.fixture(scope="module")
def release_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the release before, out of this clone's history."""
    packed = subprocess.run(
        ["git", "archive", BEFORE, "lure_core", "store", "service", "worker", "lure", "migrations"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if packed.returncode != 0:
        pytest.skip(f"this clone does not know {BEFORE}: {packed.stderr.decode().strip()}")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


class Generations(World):
    """A world whose processes may be of the release before.

    Attributes:
        code: What processes run that start from now on; None: this release.
    """

    code: Path | None = None

    def environment(self, failpoint: str | None, **more: str) -> dict[str, str]:
        env = super().environment(failpoint, **more)
        return env if self.code is None else env | {"PYTHONPATH": str(self.code)}


@pytest.fixture
def world(servers: Servers, tmp_path: Path) -> Iterator[Generations]:
    world = Generations(servers.postgres, tmp_path)
    world.patience_s = 240.0
    yield world
    world.close()


def work(api: Api, stream: str, chunks: list[str]) -> None:
    """One more chunk is accepted, learned, and served."""
    chunks.append(api.push_digits(stream, 60 * len(chunks)))
    api.wait_learned(stream, *chunks)
    api.wait_version(stream, len(chunks))
    api.wait_serving(stream, len(chunks))
    check_learned_once_in_order(api.client, stream, chunks)


def check_health(api: Api) -> None:
    ready, metrics = httpx.get(f"{api.url}/readyz"), httpx.get(f"{api.url}/metrics")
    assert (ready.status_code, ready.json()["degraded"]) == (200, [])
    assert metrics.status_code == 200
    assert "lure_" in metrics.text


def test_this_release_works_on_the_schema_before_and_the_migration_needs_no_restart(
    world: Generations,
) -> None:
    command.downgrade(alembic_config(world.settings), OLDER)
    for start in (world.admit, world.learn, world.beat):
        start()
    api = world.api()
    stream, chunks = api.create_stream(), list[str]()
    work(api, stream, chunks)
    check_health(api)
    for path in NEWER:
        refused = api.http.get(path)
        assert (path, refused.status_code) == (path, 503)
        assert "migration" in refused.text

    chunks.append(api.push_digits(stream, 60))  # it is learned while the migration runs
    migrated = world.start("migrate", "store.admin", "migrate")
    assert migrated.wait(world.patience_s)
    assert migrated.exit_code == 0, migrated.tail()
    for path in NEWER:
        assert (path, api.http.get(path).status_code) == (path, 200)
    api.wait_learned(stream, *chunks)
    work(api, stream, chunks)
    check_health(api)
    wait_for(lambda: leases(world) >= 2, "both workers to tell of themselves", world)
    check_no_bytes_are_missing(world)


@pytest.mark.slow
def test_the_release_before_works_on_this_schema_alone_and_beside_this_release(
    world: Generations, release_before: Path
) -> None:
    world.code = release_before
    old = [world.admit(), world.learn()]
    older = world.api()
    check_is_of(older, release_before)
    world.code = None
    world.beat()  # sends what the workers do not know

    stream, chunks = older.create_stream(), list[str]()
    queue = Queue(world.settings)
    for task in ("lure.of_a_later_release", "lure.of_another"):
        queue._celery.send_task(task, ["an id"], queue="admit")
        queue._celery.send_task(task, ["an id"], queue="learn")
    queue.close()
    work(older, stream, chunks)
    check_health(older)
    for child in old:  # what they do not know is borne, and told
        assert child.running
        assert "lure.of_a_later_release" in child.spec.log.read_text()

    world.admit()
    world.learn()
    newer = world.api()
    for _ in range(2):
        for api in (older, newer):
            chunks.append(api.push_digits(stream, 60 * len(chunks)))
    newer.wait_learned(stream, *chunks)
    check_learned_once_in_order(newer.client, stream, chunks)
    for api in (older, newer):
        api.wait_serving(stream, len(chunks))
        check_health(api)
    newer.wait_marked_served(stream)
    assert probabilities(older, stream) == probabilities(newer, stream)

    for child in (*old, older.child):  # the upgrade is done
        child.stop()
    work(newer, stream, chunks)
    newer.wait_marked_served(stream)
    check_no_bytes_are_missing(world)


def probabilities(api: Api, stream: str) -> list[Any]:
    """What the champion answers, to the last bit."""
    answer = api.client.predict(stream, [ONE])["predictions"]
    return [one["top_k"] for one in answer]


def leases(world: World) -> int:
    """How many workers have told of themselves."""
    with world.database.begin() as session:
        return len(workers.alive(session, stale_s=60.0))


def check_is_of(api: Api, code: Path) -> None:
    """The process does run that code."""
    maps = Path(f"/proc/{api.child.pid}/environ").read_bytes()
    assert f"PYTHONPATH={code}".encode() in maps
    assert api.http.get(NEWER[0]).status_code == 404
