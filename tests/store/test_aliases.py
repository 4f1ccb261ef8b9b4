"""Aliases move by compare-and-set, and their history is never rewritten."""

from __future__ import annotations

import datetime as dt
import threading

import pytest

from store import aliases, streams, versions
from store.aliases import CHAMPION, LATEST, PREVIOUS, Move
from store.engine import Database
from store.errors import Conflict, NotFound, PreconditionFailed
from store.models import Stream
from store.states import VersionState
from tests.factories import create_stream, create_version


@pytest.fixture
def stream(database: Database) -> Stream:
    """A stream whose versions 1, 2 and 3 were champion in turn."""
    stream = create_stream(database)
    for _ in range(3):
        create_version(database, stream)
    return stream


def version_of(database: Database, stream: Stream, name: str) -> int | None:
    with database.begin() as session:
        return aliases.version_of(session, stream.id, name)


def rollback(database: Database, stream: Stream) -> int:
    with database.begin() as session:
        return aliases.rollback(session, stream, who="ada", reason="too bold").version


def test_previous_follows_the_champion(database: Database, stream: Stream) -> None:
    assert version_of(database, stream, CHAMPION) == 3
    assert version_of(database, stream, PREVIOUS) == 2


def test_a_rollback_holds_the_champion(database: Database, stream: Stream) -> None:
    assert rollback(database, stream) == 2
    with database.begin() as session:
        assert aliases.get(session, stream, CHAMPION).hold
    assert version_of(database, stream, PREVIOUS) == 3


def test_two_rollbacks_go_back_twice(database: Database, stream: Stream) -> None:
    assert [rollback(database, stream), rollback(database, stream)] == [2, 1]
    with pytest.raises(Conflict, match="no version older than 1"):
        rollback(database, stream)


def test_a_rollback_passes_over_what_was_never_champion(database: Database) -> None:
    stream = create_stream(database)
    create_version(database, stream)
    create_version(database, stream, champion=False)
    create_version(database, stream)
    assert rollback(database, stream) == 1


def test_release_lifts_the_hold_and_moves_nothing(database: Database, stream: Stream) -> None:
    rollback(database, stream)
    with database.begin() as session:
        alias = aliases.release(session, stream, who="ada", reason="seen")
    assert (alias.version, alias.hold) == (2, False)


def test_every_move_stays_in_the_history(database: Database, stream: Stream) -> None:
    rollback(database, stream)
    with database.begin() as session:
        moves = aliases.history(session, stream, CHAMPION, size=10).items
    assert [(move.from_version, move.to_version) for move in moves] == [
        (3, 2),
        (2, 3),
        (1, 2),
        (None, 1),
    ]
    assert (moves[0].who, moves[0].reason, moves[0].hold) == ("ada", "too bold", True)


def test_a_move_from_a_stale_reading_is_refused(database: Database, stream: Stream) -> None:
    with database.begin() as session:
        read = aliases.get(session, stream, CHAMPION).revision
    rollback(database, stream)
    with database.begin() as session, pytest.raises(PreconditionFailed):
        aliases.move_if(session, stream, CHAMPION, Move(1, "bo", ""), revision=read)
    assert version_of(database, stream, CHAMPION) == 2


def test_a_new_alias_is_made_only_where_there_is_none(database: Database, stream: Stream) -> None:
    with database.begin() as session:
        aliases.move_if(session, stream, "stable", Move(1, "bo", ""), revision=None)
    with database.begin() as session, pytest.raises(PreconditionFailed):
        aliases.move_if(session, stream, "stable", Move(2, "bo", ""), revision=None)


def test_what_moves_by_itself_is_not_moved_by_hand(database: Database, stream: Stream) -> None:
    with database.begin() as session, pytest.raises(Conflict, match="latest moves by itself"):
        aliases.move_if(session, stream, LATEST, Move(1, "bo", ""), revision=None)


def test_a_version_that_is_not_there_cannot_be_champion(database: Database, stream: Stream) -> None:
    with database.begin() as session, pytest.raises(NotFound):
        aliases.move(session, stream, CHAMPION, Move(9, "bo", ""))


def test_a_contaminated_version_cannot_be_champion(database: Database, stream: Stream) -> None:
    bad = create_version(database, stream, champion=False, state=VersionState.CONTAMINATED)
    with database.begin() as session, pytest.raises(Conflict, match="contaminated"):
        aliases.move(session, stream, CHAMPION, Move(bad.version, "bo", ""))


def test_a_champion_that_may_not_be_served_any_more_can_be_left(
    database: Database, stream: Stream
) -> None:
    with database.begin() as session:
        versions.get(session, stream, 3).state = VersionState.CONTAMINATED
    assert rollback(database, stream) == 2
    assert version_of(database, stream, PREVIOUS) == 3


def remove(database: Database, stream: Stream, name: str) -> None:
    with database.begin() as session:
        locked = streams.lock(session, stream.id)
        aliases.remove(session, locked, name, who="bo", reason="done with it")


def made(database: Database, stream: Stream, version: int) -> int:
    """The revision of a new alias `mine`."""
    with database.begin() as session:
        return aliases.move_if(
            session, stream, "mine", Move(version, "bo", ""), revision=None
        ).revision


def test_a_deleted_alias_leaves_its_history(database: Database, stream: Stream) -> None:
    made(database, stream, 1)
    remove(database, stream, "mine")
    assert version_of(database, stream, "mine") is None
    with database.begin() as session:
        moves = aliases.history(session, stream, "mine", size=10).items
    assert [(move.from_version, move.to_version) for move in moves] == [(1, None), (None, 1)]
    assert (moves[0].who, moves[0].reason) == ("bo", "done with it")


def test_an_alias_made_again_has_a_revision_that_nobody_has_read(
    database: Database, stream: Stream
) -> None:
    before = made(database, stream, 1)
    remove(database, stream, "mine")
    after = made(database, stream, 2)
    assert after > before
    with database.begin() as session, pytest.raises(PreconditionFailed):
        aliases.move_if(session, stream, "mine", Move(3, "bo", ""), revision=before)


@pytest.mark.parametrize("name", [CHAMPION, PREVIOUS])
def test_what_the_service_moves_is_not_deleted(
    database: Database, stream: Stream, name: str
) -> None:
    with pytest.raises(Conflict, match="stays"):
        remove(database, stream, name)


def at(database: Database, stream: Stream, name: str, moment: dt.datetime) -> int:
    with database.begin() as session:
        return aliases.version_at(session, stream, name, moment)


def test_the_version_of_a_moment_is_that_of_the_last_move_before_it(
    database: Database, stream: Stream
) -> None:
    rollback(database, stream)
    with database.begin() as session:
        moves = aliases.history(session, stream, CHAMPION, size=10).items[::-1]
    instant = dt.timedelta(microseconds=1)
    assert [at(database, stream, CHAMPION, move.at) for move in moves] == [1, 2, 3, 2]
    assert [at(database, stream, CHAMPION, m.at - instant) for m in moves[1:]] == [1, 2, 3]
    assert at(database, stream, CHAMPION, moves[-1].at + dt.timedelta(days=1)) == 2
    with pytest.raises(NotFound, match=r"champion as of .*: made "):
        at(database, stream, CHAMPION, moves[0].at - instant)
    with pytest.raises(NotFound, match="there is no alias nobody"):
        at(database, stream, "nobody", moves[0].at)


def test_a_deleted_alias_answers_for_the_time_that_it_was_there(
    database: Database, stream: Stream
) -> None:
    made(database, stream, 2)
    remove(database, stream, "mine")
    with database.begin() as session:
        gone, first = aliases.history(session, stream, "mine", size=10).items
    assert at(database, stream, "mine", first.at) == 2
    with pytest.raises(NotFound, match=r"mine as of .*: deleted "):
        at(database, stream, "mine", gone.at)


def test_of_a_rollback_and_a_move_from_the_same_reading_one_wins(
    database: Database, stream: Stream
) -> None:
    """Both begin at version 3; the mover waits for the stream's row until the rollback commits."""
    with database.begin() as session:
        read = aliases.get(session, stream, CHAMPION).revision
    outcome: list[str] = []

    def move() -> None:
        try:
            with database.begin() as session:
                aliases.move_if(session, stream, CHAMPION, Move(1, "bo", ""), revision=read)
                outcome.append("moved")
        except PreconditionFailed:
            outcome.append("refused")

    mover = threading.Thread(target=move)
    with database.begin() as session:
        aliases.rollback(session, stream, who="ada", reason="too bold")
        mover.start()
        mover.join(timeout=0.2)
        assert outcome == []
    mover.join()
    assert outcome == ["refused"]
    assert version_of(database, stream, CHAMPION) == 2
