"""Backups of rows and bytes at one moment, restored into another database."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import func, select, text, update

from store import chunks, cycles, events, garbage, keys, locks, replicas, streams
from store.admin.backup import bring
from store.admin.migrating import alembic_config
from store.backup import checking, rows
from store.backup.folder import Folder
from store.backup.manifest import Manifest
from store.backup.restoring import Restorer
from store.backup.taking import take
from store.blobs import KEEP_S, Blobs
from store.engine import Database
from store.errors import BackupRefused, WrongPlace
from store.models import Base, Blob, Chunk, Cycle, Stream, WorkerLease
from store.settings import StoreSettings
from tests.buckets import S3
from tests.conftest import Servers, settings_for
from tests.factories import admit_chunk, create_chunk, create_stream, create_version

_numbers = itertools.count(1)

ODD = "tab\t, newline\n, back\\slash, \\N, quote', é, 🦔"


@dataclass
class Place:
    """Where a backup is restored: a database and blobs of its own."""

    settings: StoreSettings
    database: Database
    blobs: Blobs

    def restore(self, source: Path, backup: str | None = None) -> Manifest:
        restorer = Restorer(self.settings, self.blobs, lambda to: bring(self.settings, to))
        return restorer.restore(source, backup)

    def admin(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return admin(self.settings, *words, **env)


@pytest.fixture
def elsewhere(servers: Servers, tmp_path: Path) -> Iterator[Place]:
    """An empty database without any schema."""
    name = f"elsewhere_{next(_numbers)}"
    url = servers.postgres.url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        blobs = tmp_path / "elsewhere"
        settings = settings_for(servers, blobs).model_copy(
            update={"database_url": servers.postgres.url_of(name)}
        )
        database = Database(settings)
        yield Place(settings, database, Blobs.of(settings, database))
        database.close()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def admin(
    settings: StoreSettings, *words: str, through: Sequence[str] = (), **more: str
) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("LURE_")}
    for name, value in settings.model_dump(mode="json", exclude_none=True).items():
        env[f"LURE_{name.upper()}"] = str(value)
    return subprocess.run(
        [*through, sys.executable, "-P", "-m", "store.admin", *words],
        env=env | more,
        capture_output=True,
        text=True,
        check=False,
    )


def contents(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table that a backup has."""
    with database.begin() as session:
        return {
            table.name: sorted(
                (tuple(row) for row in session.execute(text(f"SELECT * FROM {table.name}"))),
                key=str,
            )
            for table in Base.metadata.sorted_tables
            if table.name not in rows.LEFT_OUT
        }


def stored_chunk(database: Database, blobs: Blobs, stream: Stream, content: str) -> Chunk:
    """A received chunk whose bytes are there."""
    digest = blobs.put_bytes(content.encode())
    payload = chunks.Payload(digest=digest, media_type="application/zip", size_bytes=len(content))
    with database.begin() as session:
        return chunks.add(session, stream, payload)[0]


def age(database: Database) -> None:
    """Let every blob be as old as it takes to be garbage."""
    with database.begin() as session:
        session.execute(update(Blob).values(touched_at=func.to_timestamp(0)))


def test_all_rows_and_the_bytes_that_they_name_come_back(
    settings: StoreSettings, database: Database, blobs: Blobs, elsewhere: Place, target: Path
) -> None:
    stream = create_stream(database, ODD.replace("\t", " "), classes=[ODD, "b"])
    create_version(database, stream, metrics={"accuracy": 0.5, "odd": ODD})
    chunk = stored_chunk(database, blobs, stream, "bytes of a chunk")
    blobs.put_bytes(b"nobody names this")
    made = take(settings, blobs, target)
    assert made.rows == sum(map(len, contents(database).values()))

    assert elsewhere.restore(target) == made
    assert contents(elsewhere.database) == contents(database)
    assert elsewhere.blobs.read(chunk.digest) == b"bytes of a chunk"
    with elsewhere.database.begin() as session:
        assert session.scalars(select(Blob.digest)).all() == [chunk.digest]


def test_bytes_go_into_a_bucket_and_out_of_it(
    settings: StoreSettings,
    database: Database,
    blobs: Blobs,
    elsewhere: Place,
    s3: S3,
    tmp_path: Path,
) -> None:
    chunk = stored_chunk(database, blobs, create_stream(database), "bytes of a chunk")
    made = take(settings, blobs, tmp_path / "of a folder")
    there = elsewhere.settings.model_copy(update=s3.settings(tmp_path / "cache"))
    in_bucket = Place(there, elsewhere.database, Blobs.of(there, elsewhere.database))
    in_bucket.restore(tmp_path / "of a folder")
    in_bucket.blobs.check(chunk.digest)

    afresh = there.model_copy(update={"cache": tmp_path / "another machine's"})
    again = take(afresh, Blobs.of(afresh, elsewhere.database), tmp_path / "of a bucket")
    assert again.blobs == made.blobs
    assert [table.sha256 for table in again.tables] == [table.sha256 for table in made.tables]


def test_numbers_go_on_where_they_had_come_to(
    settings: StoreSettings, database: Database, blobs: Blobs, elsewhere: Place, target: Path
) -> None:
    stream = create_stream(database)
    version = create_version(database, stream)
    with database.begin() as session:  # a number that was given out is not given out again
        session.execute(text("SELECT nextval(pg_get_serial_sequence('cycles', 'number'))"))
        last = session.scalars(select(func.max(Cycle.number))).one()
    take(settings, blobs, target)
    elsewhere.restore(target)

    newer = create_version(elsewhere.database, stream)
    other = create_stream(elsewhere.database, "other")
    assert (newer.version, other.id) == (version.version + 1, stream.id + 1)
    with elsewhere.database.begin() as session:
        assert session.scalars(select(func.max(Cycle.number))).one() == last + 2
        assert [chunk.position for chunk in chunks.learned(session, stream)] == [1, 2]


@pytest.mark.parametrize("before", [0, 3])
def test_events_after_a_restore_have_ids_that_no_listener_has_heard(
    settings: StoreSettings,
    database: Database,
    blobs: Blobs,
    elsewhere: Place,
    target: Path,
    before: int,
) -> None:
    for name in ["one", "two", "three"][:before]:
        create_stream(database, name)
    take(settings, blobs, target)
    with database.begin() as session:
        last = events.last_id(session)
    create_stream(database, "after")  # and heard of by all who listen to the old machine
    with database.begin() as session:
        [heard] = events.after(session, last)
    elsewhere.restore(target)

    create_stream(elsewhere.database, "other")
    with elsewhere.database.begin() as session:
        assert events.last_id(session) > heard.id + 10**8
        assert [event.data["stream"] for event in events.after(session, heard.id)] == ["other"]


def test_claims_of_then_are_free_and_nobody_died_of_them(
    settings: StoreSettings, database: Database, blobs: Blobs, elsewhere: Place, target: Path
) -> None:
    stream = create_stream(database)
    admit_chunk(database, stream, create_chunk(database, stream))
    with database.begin() as session:
        first = cycles.claim_next(session, stream.id, worker="one", stale_s=3600)
        replicas.renew(session, "a replica of then")
    assert first is not None
    take(settings, blobs, target)
    elsewhere.restore(target)
    with elsewhere.database.begin() as session:
        again = cycles.claim_next(session, stream.id, worker="two", stale_s=3600)
        assert again is not None
        assert (again.cycle_id, again.attempt) == (first.cycle_id, first.attempt + 1)
        assert cycles.fenced(session, again).deaths == 0
        assert session.scalar(text("SELECT count(*) FROM replicas")) == 0


def test_what_is_written_after_its_moment_is_in_no_table(
    settings: StoreSettings,
    database: Database,
    blobs: Blobs,
    elsewhere: Place,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = create_stream(database)
    create_chunk(database, stream, "before")
    write, written = rows.write, itertools.count()

    def meanwhile(link: rows.Link, table: str, path: Path) -> object:
        create_chunk(database, stream, f"meanwhile {next(written)}")
        return write(link, table, path)

    before = contents(database)
    monkeypatch.setattr(rows, "write", meanwhile)
    take(settings, blobs, target)
    elsewhere.restore(target)
    assert contents(elsewhere.database) == before


def test_a_second_backup_copies_only_what_is_new(
    settings: StoreSettings, database: Database, blobs: Blobs, target: Path
) -> None:
    stream = create_stream(database)
    old = stored_chunk(database, blobs, stream, "old")
    first = take(settings, blobs, target)
    copied = Folder(target).blob(old.digest).stat()
    new = stored_chunk(database, blobs, stream, "new")
    second = take(settings, blobs, target)
    folder = Folder(target)
    assert folder.ids() == [first.id, second.id]
    assert folder.blob(old.digest).stat().st_ino == copied.st_ino
    assert folder.read_list(first.id) == {old.digest: 3}
    assert folder.read_list(second.id) == {old.digest: 3, new.digest: 3}


def test_several_blobs_are_copied_and_put_at_once(
    settings: StoreSettings, database: Database, blobs: Blobs, elsewhere: Place, target: Path
) -> None:
    stream = create_stream(database)
    digests = [stored_chunk(database, blobs, stream, name).digest for name in ("one", "two")]

    class Together(Blobs):
        both = threading.Barrier(2)

        @contextmanager
        def borrowed(self, digest: str) -> Iterator[Path]:
            self.both.wait(30)
            with super().borrowed(digest) as path:
                yield path

        def put_file(self, path: Path, digest: str, *, keep_s: int = KEEP_S) -> None:
            self.both.wait(30)
            super().put_file(path, digest, keep_s=keep_s)

    assert take(settings, Together.of(settings, database), target).blobs.count == 2
    elsewhere.blobs = Together.of(elsewhere.settings, elsewhere.database)
    elsewhere.restore(target)
    assert all(elsewhere.blobs.exists(digest) for digest in digests)


def test_nothing_is_collected_while_a_backup_copies(
    settings: StoreSettings, database: Database, blobs: Blobs, target: Path
) -> None:
    """The row goes after the backup's moment, and a collector comes before its bytes are copied."""
    stream = create_stream(database)
    chunk = stored_chunk(database, blobs, stream, "soon nobody's")
    collected = []

    class Watched(Blobs):
        def borrowed(self, digest: str) -> AbstractContextManager[Path]:
            if not collected:
                with database.begin() as session:
                    session.execute(text("DELETE FROM chunks"))
                age(database)
                collected.append(garbage.collect(database, blobs))
            return super().borrowed(digest)

    made = take(settings, Watched.of(settings, database), target)
    assert collected == [0]
    assert made.blobs.missing == ()
    assert Folder(target).read_list(made.id) == {chunk.digest: 13}
    assert garbage.collect(database, blobs) == 1  # afterwards it goes


def test_a_database_that_hurries_everybody_does_not_end_it(
    elsewhere: Place, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(elsewhere.settings, "head")
    create_stream(elsewhere.database)
    bounds = ("statement_timeout", "idle_in_transaction_session_timeout")
    with elsewhere.database.begin() as session:
        name = session.scalars(select(func.current_database())).one()
        for bound in bounds:
            session.execute(text(f"ALTER DATABASE {name} SET {bound} = '1ms'"))
    write, told = rows.write, set()

    def slowly(link: rows.Link, table: str, path: Path) -> object:
        link.execute("SELECT pg_sleep(0.01)")
        told.update(link.execute(f"SHOW {bound}".encode()).fetchone() for bound in bounds)
        return write(link, table, path)

    monkeypatch.setattr(rows, "write", slowly)
    assert take(elsewhere.settings, elsewhere.blobs, target).rows > 0
    assert told == {("0",)}


def test_a_migration_waits_for_the_rows_to_be_copied(
    settings: StoreSettings,
    database: Database,
    blobs: Blobs,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, held = rows.write, []

    def meanwhile(link: rows.Link, table: str, path: Path) -> object:
        with database.begin() as session:  # as migrations/env.py does, but without waiting
            lock = select(func.pg_try_advisory_xact_lock(locks.MIGRATION))
            held.append(not session.scalar(lock))
        return write(link, table, path)

    monkeypatch.setattr(rows, "write", meanwhile)
    take(settings, blobs, target)
    assert held
    assert all(held)
    with database.begin() as session:
        assert session.scalar(select(func.pg_try_advisory_xact_lock(locks.MIGRATION)))


def test_migrations_hold_the_lock_that_backups_wait_for() -> None:
    env = Path(alembic_config().get_main_option("script_location") or "", "env.py")
    assert f"_LOCK = 0x{locks.MIGRATION:X}" in env.read_text()


@pytest.mark.parametrize("place", ["backup.rows", "backup.blobs"])
def test_a_killed_backup_is_none_and_the_next_one_clears_it_away(
    settings: StoreSettings, database: Database, blobs: Blobs, target: Path, place: str
) -> None:
    stored_chunk(database, blobs, create_stream(database), "bytes")
    ended = admin(settings, "backup", str(target), LURE_FAILPOINT=f"{place}:kill")
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert Folder(target).ids() == []
    with pytest.raises(BackupRefused, match="no whole backup"):
        Folder(target).get()
    made = take(settings, blobs, target)
    assert [path.name for path in (target / "backups").iterdir()] == [made.id]
    assert checking.faults(Folder(target), made) == []


@pytest.mark.parametrize("place", ["restore.blobs", "restore.rows"])
def test_a_killed_restore_is_begun_again(
    settings: StoreSettings,
    database: Database,
    blobs: Blobs,
    elsewhere: Place,
    target: Path,
    place: str,
) -> None:
    stored_chunk(database, blobs, create_stream(database), "bytes")
    take(settings, blobs, target)
    ended = elsewhere.admin("restore", str(target), LURE_FAILPOINT=f"{place}:kill")
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    ended = elsewhere.admin("restore", str(target))
    assert ended.returncode == 0, ended.stderr
    assert contents(elsewhere.database) == contents(database)


def test_the_place_of_a_lost_database_is_taken_only_when_that_is_said(
    settings: StoreSettings, database: Database, blobs: Blobs, elsewhere: Place, target: Path
) -> None:
    stored_chunk(database, blobs, create_stream(database), "bytes")
    take(settings, blobs, target)
    there = settings.model_copy(update={"database_url": elsewhere.settings.database_url})
    refused = admin(there, "restore", str(target))
    assert refused.returncode == 1
    assert "of another database" in refused.stderr
    ended = admin(there, "restore", str(target), "--take-place")
    assert ended.returncode == 0, ended.stderr
    assert contents(elsewhere.database) == contents(database)
    with pytest.raises(WrongPlace):
        Blobs.of(settings, database).put_bytes(b"by who had it")


def test_a_restored_database_is_not_restored_into_again(
    settings: StoreSettings, database: Database, blobs: Blobs, elsewhere: Place, target: Path
) -> None:
    create_stream(database)
    take(settings, blobs, target)
    elsewhere.restore(target)
    with pytest.raises(BackupRefused, match=r"not empty; it has rows in .*streams"):
        elsewhere.restore(target)


def test_a_database_of_something_else_is_refused(
    settings: StoreSettings, database: Database, blobs: Blobs, elsewhere: Place, target: Path
) -> None:
    take(settings, blobs, target)
    with elsewhere.database.begin() as session:
        session.execute(text("CREATE TABLE somebody (id int)"))
    with pytest.raises(BackupRefused, match="something else"):
        elsewhere.restore(target)


def test_a_database_that_processes_work_on_is_refused(
    settings: StoreSettings, database: Database, blobs: Blobs, elsewhere: Place, target: Path
) -> None:
    take(settings, blobs, target)
    bring(elsewhere.settings, "head")
    with elsewhere.database.begin() as session:
        session.add(WorkerLease(id="one", queue="learn", facts={}))
    with pytest.raises(BackupRefused, match=r"1 processes .*\(workers\); stop them"):
        elsewhere.restore(target)


def test_a_backup_of_the_release_before_goes_into_an_empty_database_at_head(
    settings: StoreSettings,
    database: Database,
    blobs: Blobs,
    elsewhere: Place,
    servers: Servers,
    target: Path,
) -> None:
    older = elsewhere
    bring(older.settings, "0003")
    create_stream(older.database)
    made = take(older.settings, older.blobs, target)
    assert made.revision == "0003"
    with older.database.begin() as session:
        session.execute(text("TRUNCATE streams RESTART IDENTITY CASCADE"))
    bring(older.settings, "head")
    ended = older.admin("restore", str(target), "--keep-revision")
    assert ended.returncode == 0, ended.stderr
    with older.database.begin() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "0003"
        assert streams.get(session, "digits").id == 1


def test_the_schema_is_brought_to_the_newest_at_the_end(
    settings: StoreSettings, database: Database, blobs: Blobs, elsewhere: Place, target: Path
) -> None:
    bring(elsewhere.settings, "0003")
    take(elsewhere.settings, elsewhere.blobs, target)
    ended = elsewhere.admin("restore", str(target))
    assert ended.returncode == 0, ended.stderr
    with elsewhere.database.begin() as session:
        assert session.scalar(select(func.to_regclass("api_keys"))) == "api_keys"


def test_a_backup_of_a_later_release_is_refused_in_words(
    settings: StoreSettings, database: Database, blobs: Blobs, elsewhere: Place, target: Path
) -> None:
    made = take(settings, blobs, target)
    path = target / "backups" / made.id / "manifest.json"
    path.write_text(made.model_copy(update={"revision": "9999"}).model_dump_json())
    with pytest.raises(BackupRefused, match="9999 is of a later LURE"):
        elsewhere.restore(target)


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("part", ["table", "list", "blob"])
@pytest.mark.parametrize("harm", [damage, Path.unlink])
def test_a_backup_that_is_not_whole_is_found_out(
    settings: StoreSettings,
    database: Database,
    blobs: Blobs,
    elsewhere: Place,
    target: Path,
    part: str,
    harm: Callable[[Path], None],
) -> None:
    chunk = stored_chunk(database, blobs, create_stream(database), "bytes")
    made = take(settings, blobs, target)
    folder = Folder(target)
    assert checking.faults(folder, made) == []
    paths = {
        "table": folder.table(made.id, "streams"),
        "list": folder.names(made.id),
        "blob": folder.blob(chunk.digest),
    }
    harm(paths[part])
    [fault] = checking.faults(folder, made)
    assert str(paths[part]) in fault
    with pytest.raises(BackupRefused, match=paths[part].name):
        elsewhere.restore(target)


def test_bytes_that_were_lost_before_are_named_and_do_not_stop_it(
    settings: StoreSettings, database: Database, blobs: Blobs, elsewhere: Place, target: Path
) -> None:
    stream = create_stream(database)
    kept, lost = (stored_chunk(database, blobs, stream, name).digest for name in ("kept", "lost"))
    blobs.local(lost).unlink()
    ended = admin(settings, "backup", str(target))
    assert ended.returncode == 1
    assert lost in ended.stderr
    assert elsewhere.restore(target).blobs.missing == (lost,)
    assert elsewhere.blobs.exists(kept)


@pytest.mark.parametrize("word", ["backup", "verify-backup", "restore"])
def test_a_url_is_no_folder(settings: StoreSettings, word: str) -> None:
    refused = admin(settings, word, "s3://bucket/backups")
    assert refused.returncode == 2
    assert "should be a folder" in refused.stderr


@pytest.mark.parametrize("word", ["backup", "restore"])
def test_a_disk_that_takes_no_more_is_told_in_words(
    settings: StoreSettings,
    database: Database,
    blobs: Blobs,
    elsewhere: Place,
    target: Path,
    word: str,
) -> None:
    stored_chunk(database, blobs, create_stream(database), "bytes" * 10_000)
    into = {"backup": settings, "restore": elsewhere.settings}[word]
    if word == "restore":
        take(settings, blobs, target)
    ended = admin(into, word, str(target), through=("prlimit", "--fsize=20000"))
    assert ended.returncode == 1
    assert str(target) in ended.stderr
    assert "File too large" in ended.stderr
    assert "Traceback" not in ended.stderr
    ended = admin(into, word, str(target))  # with room again
    assert ended.returncode == 0, ended.stderr


def test_a_file_that_cannot_be_read_is_told_in_words(
    settings: StoreSettings, database: Database, blobs: Blobs, target: Path
) -> None:
    made = take(settings, blobs, target)
    table = Folder(target).table(made.id, "streams")
    table.unlink()
    table.mkdir()
    ended = admin(settings, "verify-backup", str(target))
    assert ended.returncode == 1
    assert f"{target} cannot be read through" in ended.stderr
    assert str(table) in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_backup_whose_lock_was_lost_while_it_copied_is_none(
    settings: StoreSettings, database: Database, blobs: Blobs, target: Path
) -> None:
    chunk = stored_chunk(database, blobs, create_stream(database), "bytes")
    ends = text(
        "SELECT pg_terminate_backend(pid) FROM pg_locks"
        f" WHERE locktype = 'advisory' AND objid = {locks.COLLECTION}"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )

    class Watched(Blobs):
        def borrowed(self, digest: str) -> AbstractContextManager[Path]:
            with database.begin() as session:
                assert session.scalars(ends).all() == [True]
            return super().borrowed(digest)

    with pytest.raises(BackupRefused, match="begin again"):
        take(settings, Watched.of(settings, database), target)
    assert Folder(target).ids() == []
    assert take(settings, blobs, target).blobs.count == 1
    assert Folder(target).blob(chunk.digest).exists()


def test_no_older_backup_goes_for_one_that_lacks_bytes(
    settings: StoreSettings, database: Database, blobs: Blobs, target: Path
) -> None:
    stream = create_stream(database)
    whole = take(settings, blobs, target)
    lost = stored_chunk(database, blobs, stream, "lost").digest
    blobs.local(lost).unlink()
    lacking = take(settings, blobs, target, keep=1)
    assert lacking.blobs.missing == (lost,)
    assert Folder(target).ids() == [whole.id, lacking.id]


def cut_off(path: Path) -> None:
    os.truncate(path, 2)


@pytest.mark.parametrize("harm", [cut_off, Path.unlink])
def test_what_was_cut_off_or_lost_in_the_folder_is_copied_anew(
    settings: StoreSettings,
    database: Database,
    blobs: Blobs,
    target: Path,
    harm: Callable[[Path], None],
) -> None:
    chunk = stored_chunk(database, blobs, create_stream(database), "bytes")
    folder, first = Folder(target), take(settings, blobs, target)
    harm(folder.blob(chunk.digest))
    [fault] = checking.faults(folder, first)
    assert "the next backup copies it anew" in fault
    second = take(settings, blobs, target)
    for made in (first, second):
        assert checking.faults(folder, made) == []


def test_damage_of_the_right_size_is_healed_as_verification_says(
    settings: StoreSettings, database: Database, blobs: Blobs, target: Path
) -> None:
    chunk = stored_chunk(database, blobs, create_stream(database), "bytes")
    folder, made = Folder(target), take(settings, blobs, target)
    damage(folder.blob(chunk.digest))
    told = admin(settings, "verify-backup", str(target))
    assert told.returncode == 1
    assert f"{folder.blob(chunk.digest)} is damaged; delete it" in told.stderr
    folder.blob(chunk.digest).unlink()
    take(settings, blobs, target)
    assert checking.faults(folder, made) == []


def test_keys_that_open_again_are_named(
    settings: StoreSettings, database: Database, blobs: Blobs, elsewhere: Place, target: Path
) -> None:
    with database.begin() as session:
        wanted = keys.NewKey("operator", [keys.ADMIN])
        before, after = (keys.create(session, wanted, who="test")[0].id for _ in range(2))
        keys.revoke(session, before)
    take(settings, blobs, target)
    with database.begin() as session:
        keys.create(session, wanted, who="test")  # else the last one could not be revoked
        keys.revoke(session, after)
    ended = elsewhere.admin("restore", str(target))
    assert ended.returncode == 0, ended.stderr
    assert f"the key {after} of operator is valid" in ended.stderr
    assert "revoke those that were revoked since" in ended.stderr
    assert before not in ended.stderr


def test_a_folder_of_something_else_is_refused(
    settings: StoreSettings, database: Database, blobs: Blobs, target: Path
) -> None:
    target.mkdir()
    (target / "letter.txt").write_text("dear")
    with pytest.raises(BackupRefused, match="something else"):
        take(settings, blobs, target)
    assert [path.name for path in target.iterdir()] == ["letter.txt"]


def test_a_new_file_system_is_empty(
    settings: StoreSettings, database: Database, blobs: Blobs, target: Path
) -> None:
    (target / "lost+found").mkdir(parents=True)
    made = take(settings, blobs, target)
    assert Folder(target).ids() == [made.id]


def test_two_backups_at_once_into_one_folder_are_refused(
    settings: StoreSettings, database: Database, blobs: Blobs, target: Path
) -> None:
    with Folder(target).opened(), pytest.raises(BackupRefused, match="another backup"):
        take(settings, blobs, target)


def test_nobody_else_may_read_a_backup(
    settings: StoreSettings, database: Database, blobs: Blobs, target: Path
) -> None:
    stored_chunk(database, blobs, create_stream(database), "bytes")
    take(settings, blobs, target)
    modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in (target, *target.rglob("*"))}
    assert modes == {(True, 0o700), (False, 0o600)}


def test_old_backups_go_and_the_bytes_that_only_they_have(
    settings: StoreSettings, database: Database, blobs: Blobs, target: Path
) -> None:
    stream = create_stream(database)
    old = stored_chunk(database, blobs, stream, "old").digest
    take(settings, blobs, target)
    with database.begin() as session:
        session.execute(text("DELETE FROM chunks"))
    new = stored_chunk(database, blobs, stream, "new").digest
    second = take(settings, blobs, target, keep=1)
    folder = Folder(target)
    assert folder.ids() == [second.id]
    assert folder.blob(new).exists()
    assert not folder.blob(old).exists()
