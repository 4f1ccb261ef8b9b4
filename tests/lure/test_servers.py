"""The embedded PostgreSQL and Redis, for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from lure import proc
from lure.errors import EmbeddedError
from lure.servers import Postgres, Redis
from lure.waiting import until


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    private = tmp_path_factory.mktemp("private")
    private.chmod(0o700)
    with Postgres(private / "deeper" / "postgres") as server:
        yield server


def ask(server: Postgres, query: str) -> object:
    with psycopg.connect(server.url.replace("+psycopg", "")) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_postgres_below_a_private_folder_leaves_the_folders_as_they_were(
    postgres: Postgres,
) -> None:
    private = postgres.data.parent.parent
    assert ask(postgres, "SELECT current_user") == "lure"
    assert private.stat().st_mode & 0o777 == 0o700
    assert private.stat().st_uid == postgres.data.parent.stat().st_uid == os.geteuid()


def test_postgres_is_utf8_durable_and_listens_on_no_network(postgres: Postgres) -> None:
    assert ask(postgres, "SHOW server_encoding") == "UTF8"
    assert ask(postgres, "SHOW fsync") == "on"
    assert ask(postgres, "SHOW synchronous_commit") == "on"
    assert ask(postgres, "SHOW listen_addresses") == ""


def test_postgres_keeps_committed_rows_over_a_kill(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    postgres.kill()
    postgres.start()
    assert ask(postgres, "SELECT n FROM kept") == 7


def test_postgres_starts_beside_a_pid_file_of_someone_else(postgres: Postgres) -> None:
    pid_file = postgres.data / "postmaster.pid"
    text = pid_file.read_text()
    owner = pid_file.stat()
    postgres.kill()
    pid_file.write_text(text.replace(str(postgres.pid), str(os.getpid()), 1))
    os.chown(pid_file, owner.st_uid, owner.st_gid)
    postgres.start()
    assert ask(postgres, "SELECT 1") == 1


def test_postgres_takes_no_folder_with_something_else_in_it(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "mine.txt").write_text("mine")
    with pytest.raises(EmbeddedError, match="something else"):
        Postgres(tmp_path / "postgres").start()
    assert (tmp_path / "postgres" / "mine.txt").read_text() == "mine"


def test_redis_answers_again_after_a_kill_and_remembers_nothing(tmp_path: Path) -> None:
    with Redis(tmp_path / "redis") as server:
        client = redis.Redis.from_url(server.url.replace("redis+socket", "unix"))
        client.set("key", "value")
        server.kill()
        server.start()
        assert client.get("key") is None
        client.close()
    assert not server.sockets.exists()


OWNER = """
import sys, time
from pathlib import Path
from lure.servers import Postgres, Redis
folder = Path(sys.argv[1])
postgres, redis = Postgres(folder / "postgres").start(), Redis(folder / "redis").start()
print(postgres.pid, redis.pid, flush=True)
time.sleep(600)
"""


def test_both_die_with_an_owner_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        servers = [int(pid) for pid in owner.stdout.readline().split()]
        families = [one for pid in servers for one in proc.family(pid)]
        assert len(families) > len(servers)  # PostgreSQL has children of its own
        owner.send_signal(signal.SIGKILL)
    assert until(lambda: not any(map(proc.alive, families)), timeout_s=10)
    with Postgres(tmp_path / "postgres") as again:
        assert ask(again, "SELECT 1") == 1
