"""Rows and bytes that do not agree are found beside everything else, and mended if that is safe."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from store import artifacts, cycles, garbage, packs
from store.artifacts import Made
from store.blobs import Blobs
from store.engine import Database
from store.errors import BackupRefused
from store.fsck.faults import Fault, What
from store.fsck.looking import Found, look
from store.fsck.mending import Mender
from store.models import Artifact, Blob, Cycle, Pack, Stream, Version
from store.states import ArtifactState
from tests.factories import admit_chunk, create_chunk, create_stream, create_version
from tests.store.blobs.conftest import age

DAY_S = 86_400


@dataclass
class Case:
    """A stream with a version whose bytes are all there."""

    database: Database
    blobs: Blobs
    stream: Stream
    version: Version

    def look(self, *, quick: bool = False, grace_s: float = DAY_S) -> Found:
        return look(self.database, self.blobs, quick=quick, grace_s=grace_s)

    def faults(self, *, quick: bool = False) -> dict[What, list[Fault]]:
        found: dict[What, list[Fault]] = {}
        for fault in self.look(quick=quick).faults:
            found.setdefault(fault.what, []).append(fault)
        return found

    def mend(self, source: Path | None = None, *, repairs: bool = True) -> list[Fault]:
        mender = Mender(self.database, self.blobs, source, repairs=repairs)
        return [mender.mend(fault) for fault in self.look().faults]

    def path(self, digest: str) -> Path:
        return self.blobs.root / "sha256" / digest[:2] / digest

    def export(self, content: bytes = b"onnx") -> str:
        digest = self.blobs.put_bytes(content)
        number = self.version.version
        with self.database.begin() as session:
            artifacts.ask(session, self.stream, number, artifacts.ONNX)
            claim = artifacts.claim(session, self.stream.id, number, artifacts.ONNX, stale_s=10)
            assert claim is not None
            artifacts.ready(session, claim, Made(digest, len(content), {}))
        return digest

    def pack(self) -> str:
        digest = self.blobs.put_bytes(b"predictions")
        pack = Pack(id="pck_1", stream_id=self.stream.id, digest=digest)
        pack.size_bytes, pack.predictions = 11, 1
        with self.database.begin() as session:
            packs.add(session, pack)
        return digest


@pytest.fixture
def case(database: Database, blobs: Blobs) -> Case:
    stream = create_stream(database)
    named = {column: blobs.put_bytes(column.encode()) for column in ("digest", "sidecar_digest")}
    version = create_version(database, stream, **named)
    with database.begin() as session:  # the chunk's own bytes: factories store none
        rows = session.scalars(sa.select(Blob)).all()
        for row in rows:
            if row.digest not in named.values():
                session.delete(row)
        session.execute(
            sa.text("UPDATE chunks SET digest = :a, file_digest = :b"),
            {"a": blobs.put_bytes(b"upload"), "b": blobs.put_bytes(b"chunk file")},
        )
    return Case(database, blobs, stream, version)


def test_a_store_in_which_all_agrees_is_clean(case: Case) -> None:
    found = case.look()
    assert found.faults == []
    assert (found.named, found.stored) == (4, 4)
    assert (
        found.read_bytes
        == found.stored_bytes
        == sum(map(len, (b"digest", b"sidecar_digest", b"upload", b"chunk file")))
    )


def test_a_quick_look_reads_nothing(case: Case) -> None:
    assert case.look(quick=True).read_bytes == 0


def test_lost_bytes_are_told_with_the_rows_that_name_them(case: Case) -> None:
    case.path(case.version.digest).unlink()
    for quick in (True, False):
        [fault] = case.faults(quick=quick)[What.MISSING]
        assert fault.digest == case.version.digest
        assert list(map(str, fault.names)) == ["weights of digits/1"]
        assert "--from" in (fault.remedy or "")


def test_damage_of_the_same_size_is_found_by_reading(case: Case) -> None:
    case.path(case.version.digest).write_bytes(b"DIGEST")
    assert case.faults(quick=True) == {}
    assert [fault.digest for fault in case.faults()[What.DAMAGED]] == [case.version.digest]


def test_damage_of_another_size_is_found_by_a_quick_look(case: Case) -> None:
    case.path(case.version.digest).write_bytes(b"shorter or longer")
    assert set(case.faults(quick=True)) == {What.DAMAGED}


def test_lost_and_damaged_bytes_come_back_from_a_backup(case: Case, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    for digest, folder in ((case.version.digest, "blobs"), (case.version.sidecar_digest, "sha256")):
        kept = backup / folder / digest[:2] / digest
        kept.parent.mkdir(parents=True)
        kept.write_bytes(case.path(digest).read_bytes())
    case.path(case.version.digest).unlink()
    case.path(case.version.sidecar_digest).write_bytes(b"other")
    assert all("brought back" in (fault.mended or "") for fault in case.mend(backup))
    assert case.look().faults == []


def test_a_damaged_backup_brings_nothing_back(case: Case, tmp_path: Path) -> None:
    digest = case.version.digest
    case.path(digest).unlink()
    kept = tmp_path / "backup" / "blobs" / digest[:2] / digest
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"rotten")
    [fault] = case.mend(tmp_path / "backup")
    assert fault.mended is None
    assert fault.remedy
    assert set(case.faults()) == {What.MISSING}


def test_bringing_back_alone_forgets_nothing_that_the_backup_lacks(
    case: Case, tmp_path: Path
) -> None:
    pack = case.pack()
    for digest in (pack, case.version.digest):
        case.path(digest).unlink()
    age(case.database, empty := case.blobs.put_bytes(b"nobody's"))
    case.path(empty).unlink()
    kept = tmp_path / "backup" / "blobs" / case.version.digest[:2] / case.version.digest
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"digest")
    faults = {fault.digest: fault for fault in case.mend(tmp_path / "backup", repairs=False)}
    assert "brought back" in (faults[case.version.digest].mended or "")
    for digest in (pack, empty):
        assert faults[digest].mended is None
        assert "--repair" in (faults[digest].remedy or "")
    with case.database.begin() as session:
        assert session.scalars(sa.select(Pack.digest)).all() == [pack]
        assert session.get(Blob, empty)


def test_a_source_without_bytes_is_refused_before_anything_is_mended(
    case: Case, tmp_path: Path
) -> None:
    case.path(case.pack()).unlink()
    (tmp_path / "empty").mkdir()
    for wrong in ("typo", "empty"):
        with pytest.raises(BackupRefused, match="no folder of backups"):
            case.mend(tmp_path / wrong)
    with case.database.begin() as session:
        assert session.scalar(sa.select(Pack.id)) == "pck_1"


def test_a_lost_export_is_made_again(case: Case) -> None:
    case.path(case.export()).unlink()
    [fault] = case.mend()
    assert fault.mended == "export of digits/1: it is made again"
    with case.database.begin() as session:
        [artifact] = session.scalars(sa.select(Artifact))
        assert (artifact.state, artifact.digest) == (ArtifactState.QUEUED, None)
        assert artifacts.unattended(session, stale_s=10)
    assert case.look().faults == []


def test_a_row_that_somebody_has_is_no_deleted_row(case: Case) -> None:
    digest = case.blobs.put_bytes(b"x")
    age(case.database, digest)
    case.path(digest).unlink()
    fault, mender = case.faults()[What.EMPTY][0], Mender(case.database, case.blobs)
    with case.database.begin() as session:
        session.get(Blob, digest, with_for_update=True)
        assert mender.mend(fault) == fault
    assert mender.mend(fault).mended == "the row is deleted"


def test_a_lost_resume_state_lets_its_cycle_begin_anew(case: Case) -> None:
    chunk = create_chunk(case.database, case.stream, "another")
    admit_chunk(case.database, case.stream, chunk)
    digest = case.blobs.put_bytes(b"state")
    with case.database.begin() as session:
        claim = cycles.claim_next(session, case.stream.id, worker="w", stale_s=10)
        assert claim is not None
        cycle = cycles.fenced(session, claim)
        cycle.resume_digest = digest
    case.path(digest).unlink()
    faults = [fault for fault in case.mend() if fault.digest == digest]
    assert [fault.mended for fault in faults] == [
        f"resume state of digits/{claim.cycle_id}: the cycle begins anew"
    ]
    with case.database.begin() as session:
        assert session.get_one(Cycle, claim.cycle_id).resume_digest is None


def test_lost_predictions_are_forgotten(case: Case) -> None:
    case.path(case.pack()).unlink()
    [fault] = case.mend()
    assert "forgotten" in (fault.mended or "")
    with case.database.begin() as session:
        assert session.scalars(sa.select(Pack)).all() == []


def test_what_cannot_be_mended_stays_and_says_what_to_do(case: Case) -> None:
    for digest in (case.version.digest, case.version.sidecar_digest):
        case.path(digest).unlink()
    faults = case.mend()
    assert [fault.mended for fault in faults] == [None, None]
    assert len(case.look().faults) == 2


def test_bytes_without_a_row_get_one_when_they_are_old(
    case: Case, database: Database, blobs: Blobs
) -> None:
    orphan = blobs.put_bytes(b"nobody's")
    with database.begin() as session:
        session.execute(sa.delete(Blob).where(Blob.digest == orphan))
    assert case.look().faults == []
    [fault] = case.look(grace_s=-1).faults
    assert (fault.what, fault.digest, fault.size_bytes) == (What.ORPHAN, orphan, 8)
    assert Mender(database, blobs).mend(fault).mended
    assert case.look(grace_s=-1).faults == []
    age(database, orphan)
    assert garbage.collect(database, blobs) == 1


def test_named_bytes_without_their_row_get_it_again(case: Case, database: Database) -> None:
    with database.begin() as session:
        session.execute(sa.delete(Blob).where(Blob.digest == case.version.digest))
    assert set(case.faults(quick=True)) == {What.UNLISTED}
    assert [bool(fault.mended) for fault in case.mend()] == [True]
    assert case.look().faults == []
    with database.begin() as session:
        assert session.get_one(Blob, case.version.digest).size_bytes == len(b"digest")


def test_the_row_of_nothing_is_deleted(case: Case, database: Database, blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"unnamed")
    case.path(digest).unlink()
    assert case.look().faults == []  # somebody may be about to write the bytes
    age(database, digest)
    assert set(case.faults()) == {What.EMPTY}
    assert [fault.mended for fault in case.mend()] == ["the row is deleted"]
    assert case.look().faults == []


def test_what_a_dead_collector_put_aside_comes_back(case: Case, blobs: Blobs) -> None:
    blobs.discard(case.version.digest)
    assert set(case.faults()) == {What.ASIDE}
    assert [bool(fault.mended) for fault in case.mend()] == [True]
    assert case.look().faults == []


def test_files_of_dead_processes_are_deleted(case: Case, blobs: Blobs) -> None:
    with blobs.scratch() as path:
        path.write_bytes(b"half")
        assert case.look().faults == []
        old = time.time() - DAY_S
        os.utime(path, (old, old))
        assert set(case.faults()) == {What.SCRATCH}
        case.mend()
        assert not path.exists()


def test_what_changes_while_it_looks_is_no_fault(
    case: Case, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version's bytes come after they were listed; a row goes with its bytes."""
    listed: list[Callable[[], None]] = []
    stored = blobs.stored

    def list_and_go_on() -> object:
        found = list(stored())
        for step in listed:
            step()
        return iter(found)

    def add_a_version() -> None:
        named = {name: blobs.put_bytes(f"2 {name}".encode()) for name in ("mask_digest",)}
        with case.database.begin() as session:
            session.execute(
                sa.update(Version).values(mask_digest=named["mask_digest"]),
            )

    listed.append(add_a_version)
    monkeypatch.setattr(blobs, "stored", list_and_go_on)
    assert case.look().faults == []
