"""Events become visible in the order of their ids, and with their transaction or not at all."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import update

from store import cycles, events, streams, webhooks
from store.engine import Database
from store.models import Cycle, Stream
from store.settings import StoreSettings
from store.webhooks import Wanted
from tests.factories import admit_chunk, create_chunk, create_stream


def names(database: Database, last_id: int = 0) -> list[str]:
    with database.begin() as session:
        return [event.name for event in events.after(session, last_id)]


def test_an_event_carries_its_stream_and_its_data(database: Database) -> None:
    stream = create_stream(database, "shoes")
    with database.begin() as session:
        events.note(session, "cycle.stage", stream, cycle="cyc_1", stage="load")
    with database.begin() as session:
        event = events.after(session, 0, cycle_id="cyc_1")[0]
    assert event.data == {"stream": "shoes", "cycle": "cyc_1", "stage": "load"}


def test_what_is_rolled_back_never_happened(database: Database) -> None:
    stream = create_stream(database)
    with contextlib.suppress(ValueError), database.begin() as session:
        events.note(session, "chunk.admitted", stream)
        raise ValueError
    assert names(database) == ["stream.created"]


def test_the_bell_rings_after_the_commit(settings: StoreSettings, database: Database) -> None:
    rung: list[list[str]] = []
    seen: list[list[str]] = []

    def ring(heard: list[str]) -> None:
        rung.append(heard)
        seen.append(names(database))

    ringing = Database(settings, on_events=ring)
    create_stream(ringing)
    ringing.close()
    assert rung == [["stream.created"]]
    assert seen == [["stream.created"]]


def trained(database: Database, stream: Stream, *, ended: bool) -> None:
    """A cycle that told three times how far it is, and ended two days ago or goes on."""
    admit_chunk(database, stream, create_chunk(database, stream, stream.name))
    with database.begin() as session:
        claim = cycles.claim_next(session, stream.id, worker="w", stale_s=10)
        assert claim is not None
        for epoch in range(3):
            cycles.report(session, stream, claim, {"epoch": epoch})
    if ended:
        with database.begin() as session:
            locked = streams.lock(session, stream.id)
            cycles.fail(session, locked, cycles.fenced(session, claim), "enough")
        with database.begin() as session:
            session.execute(
                update(Cycle)
                .where(Cycle.id == claim.cycle_id)
                .values(finished_at=Cycle.finished_at - dt.timedelta(days=2))
            )


def test_how_far_cycles_were_is_forgotten_a_day_after_their_end(database: Database) -> None:
    for name, ended in (("ended", True), ("trains", False)):
        trained(database, create_stream(database, name), ended=ended)
    before = names(database)
    for gone in (2, 1, 0):
        with database.begin() as session:
            assert events.forget_old(session, limit=2) == gone
    after = names(database)
    assert (before.count("cycle.progress"), after.count("cycle.progress")) == (6, 3)
    assert [name for name in before if name != "cycle.progress"] == [
        name for name in after if name != "cycle.progress"
    ]


def test_what_a_webhook_is_still_to_be_told_is_kept(database: Database) -> None:
    trained(database, create_stream(database), ended=True)
    with database.begin() as session:
        first, *_ = [e.id for e in events.after(session, 0) if e.name == "cycle.progress"]
        for told in (first, None):
            wanted = Wanted("https://127.0.0.1/", webhooks.new_secret(), from_event=told)
            webhooks.add(session, wanted, who="test")
    with database.begin() as session:
        assert events.forget_old(session, limit=100) == 1


def write_many(database: Database, stream: Stream) -> None:
    for _ in range(20):
        with database.begin() as session:
            for _ in range(3):
                events.note(session, "cycle.progress", stream)


def follow(database: Database, stop: threading.Event) -> list[int]:
    """Ids as a listener sees them, until the writers are done and nothing new comes."""
    seen = [0]
    while True:
        ended = stop.is_set()
        with database.begin() as session:
            new = [event.id for event in events.after(session, seen[-1])]
        seen += new
        if ended and not new:
            return seen[1:]


def test_no_id_becomes_visible_after_a_higher_one(database: Database) -> None:
    stream = create_stream(database)
    stop = threading.Event()
    with ThreadPoolExecutor() as pool:
        follower = pool.submit(follow, database, stop)
        writers = [pool.submit(write_many, database, stream) for _ in range(4)]
        for writer in writers:
            writer.result()
        stop.set()
        seen = follower.result()
    assert len(seen) == 1 + 4 * 20 * 3
    assert seen == sorted(seen)


def test_a_stream_has_its_own_events(database: Database) -> None:
    create_stream(database, "a")
    create_stream(database, "b")
    with database.begin() as session:
        mine = events.after(session, 0, stream_id=streams.get(session, "b").id)
    assert [event.data["stream"] for event in mine] == ["b"]


def test_every_name_that_is_noted_is_known() -> None:
    """Webhooks are asked for by name, and an unknown one is refused."""
    root = Path(__file__).parents[2]
    kinds = "|".join({name.partition(".")[0] for name in events.NAMES})
    places = {*(root / "store").rglob("*.py"), root / "worker" / "promotion.py"}
    texts = [path.read_text() for path in places - {root / "store" / "events.py"}]
    noted = {name for text in texts for name in re.findall(rf'"((?:{kinds})\.[a-z_]+)"', text)}
    assert noted == events.NAMES
