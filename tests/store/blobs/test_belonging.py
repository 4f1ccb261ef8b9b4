"""Whose a place is, on a folder as in a bucket."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from store import garbage
from store.blobs import Blobs
from store.blobs.asking import untold
from store.blobs.belonging import settle
from store.blobs.opening import place_of
from store.blobs.place import Place
from store.engine import Database
from store.errors import WrongPlace
from store.models import Blob, StoreIdentity
from store.settings import StoreSettings
from tests.store.blobs.conftest import age, lying

OTHER = "0" * 32


@pytest.fixture(autouse=True)
def _own_id(database: Database) -> Iterator[None]:
    """Tests here change the database's id, which outlives a test."""
    yield
    with database.begin() as session:
        session.execute(sa.delete(StoreIdentity))


@pytest.fixture
def place(settings: StoreSettings) -> Place:
    """The place itself, beside the blobs."""
    return place_of(settings, untold)


@pytest.fixture
def blobs(settings: StoreSettings, database: Database) -> Blobs:
    """Of the first process, which has put nothing yet."""
    return new_process(settings, database)


def new_process(settings: StoreSettings, database: Database) -> Blobs:
    return Blobs.of(settings, database)


def id_of(database: Database) -> str | None:
    with database.begin() as session:
        return session.scalar(sa.select(StoreIdentity.id))


def is_another(database: Database, store: str = OTHER) -> None:
    """From now on it has another id, and has made no bytes."""
    with database.begin() as session:
        session.execute(sa.delete(Blob))
        session.execute(sa.update(StoreIdentity).values(id=store))


def test_a_new_place_is_marked_and_every_process_goes_on_there(
    settings: StoreSettings, database: Database, blobs: Blobs, place: Place
) -> None:
    digest = blobs.put_bytes(b"x")
    assert place.marks() == {id_of(database)}
    assert new_process(settings, database).put_bytes(b"x") == digest
    assert lying(new_process(settings, database)) == [digest]


def test_nothing_is_put_or_deleted_in_the_place_of_another_database(
    settings: StoreSettings, database: Database, blobs: Blobs, place: Place
) -> None:
    digest = blobs.put_bytes(b"x")
    age(database, digest)
    first = id_of(database)
    is_another(database)
    for refused in (
        lambda one: one.put_bytes(b"y"),
        lambda one: one.discard(digest),
        lambda one: list(one.stored()),
        lambda one: garbage.collect(database, one),
    ):
        with pytest.raises(WrongPlace, match=f"of another database .{first}.*`lure adopt`"):
            refused(new_process(settings, database))
    assert place.marks() == {first}
    assert [one.digest for one in place.stored()] == [digest]
    assert new_process(settings, database).read(digest) == b"x"


def test_an_empty_place_is_refused_while_rows_name_bytes(
    settings: StoreSettings, database: Database, blobs: Blobs, place: Place
) -> None:
    """As under a disk that is not mounted."""
    lose(settings, place, blobs.put_bytes(b"x"))
    with pytest.raises(WrongPlace, match="nothing lies in the blobs' place"):
        new_process(settings, database).put_bytes(b"y")
    assert place.marks() == set()
    assert list(place.stored()) == []


def test_bytes_that_the_database_knows_nothing_of_are_refused(
    settings: StoreSettings, database: Database, place: Place, blobs: Blobs
) -> None:
    digest = blobs.put_bytes(b"x")
    place.unmark(id_of(database) or "")
    is_another(database)
    with pytest.raises(WrongPlace, match="holds bytes"):
        new_process(settings, database).put_bytes(b"y")
    assert [one.digest for one in place.stored()] == [digest]


def test_the_place_of_a_release_that_knew_no_marks_is_marked(
    settings: StoreSettings, database: Database, place: Place, blobs: Blobs
) -> None:
    digest = blobs.put_bytes(b"x")
    place.unmark(id_of(database) or "")
    with database.begin() as session:
        session.execute(sa.delete(StoreIdentity))
    assert lying(new_process(settings, database)) == [digest]
    assert place.marks() == {id_of(database)}


def test_an_older_schema_marks_nothing_and_goes_on_where_nothing_is_marked(
    settings: StoreSettings,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    blobs: Blobs,
    place: Place,
) -> None:
    monkeypatch.setattr("store.blobs.belonging.has", lambda *_: False)
    blobs.put_bytes(b"x")
    assert place.marks() == set()
    place.mark(OTHER)
    with pytest.raises(WrongPlace):
        new_process(settings, database).put_bytes(b"y")
    blobs.adopt()
    assert place.marks() == set()


def test_who_adopts_a_place_has_it_alone(
    settings: StoreSettings, database: Database, blobs: Blobs, place: Place
) -> None:
    blobs.put_bytes(b"x")
    first = id_of(database)
    is_another(database)
    new_process(settings, database).adopt()
    assert place.marks() == {OTHER}
    new_process(settings, database).put_bytes(b"y")
    is_another(database, store=first or "")
    with pytest.raises(WrongPlace):
        new_process(settings, database).put_bytes(b"z")


def test_a_lost_place_is_adopted_anew(
    settings: StoreSettings, database: Database, blobs: Blobs, place: Place
) -> None:
    lose(settings, place, blobs.put_bytes(b"x"))
    new_process(settings, database).adopt()
    new_process(settings, database).put_bytes(b"x")
    assert place.marks() == {id_of(database)}


def test_of_two_that_take_a_new_place_at_once_the_later_look_is_refused(
    settings: StoreSettings, database: Database, place: Place
) -> None:
    class Contended:
        """Another database's process marks it in the same moment."""

        def __getattr__(self, name: str) -> object:
            return getattr(place, name)

        def mark(self, store: str) -> None:
            place.mark(store)
            place.mark(OTHER)

    with pytest.raises(WrongPlace, match=OTHER):
        settle(database, Contended())  # type: ignore[arg-type]
    own = id_of(database)
    assert place.marks() == {own, OTHER}  # so that the other sees it, too
    with pytest.raises(WrongPlace, match=OTHER):
        new_process(settings, database).put_bytes(b"x")


def test_a_collector_that_is_at_work_for_long_sees_that_its_place_was_adopted(
    database: Database, blobs: Blobs, place: Place
) -> None:
    digest = blobs.put_bytes(b"x")
    age(database, digest)
    place.unmark(id_of(database) or "")
    place.mark(OTHER)
    with pytest.raises(WrongPlace):
        garbage.collect(database, blobs)
    assert [one.digest for one in place.stored()] == [digest]


def test_what_else_lies_beside_the_marks_is_none(settings: StoreSettings, place: Place) -> None:
    place.mark(OTHER)
    if not settings.blobs.startswith("s3://"):
        (Path(settings.blobs) / "lure-store" / ".nfs0001").touch()
    place.mark("not an id")
    assert place.marks() == {OTHER}


def lose(settings: StoreSettings, place: Place, digest: str) -> None:
    """All that was in the place, marks and bytes."""
    for mark in place.marks():
        place.unmark(mark)
    place.forget(digest, place.discard(digest))
    if not settings.blobs.startswith("s3://"):
        shutil.rmtree(Path(settings.blobs) / "sha256")
