"""A replica that serves version 1 of `digits`; version 2 is its candidate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from store import aliases, streams
from store.blobs import Blobs
from store.engine import Database
from tests.conftest import Servers, empty, settings_for
from tests.service.serving import Running, digits_stream, learned, running, service_settings


@pytest.fixture(scope="module")
def api(
    _migrated: None, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    settings = settings_for(servers, tmp_path_factory.mktemp("oip") / "blobs")
    database = Database(settings)
    blobs = Blobs(settings.blobs, database)
    stream = digits_stream(database)
    learned(database, blobs, stream)
    learned(database, blobs, stream, seed=1, champion=False)
    with database.begin() as session:
        move = aliases.Move(2, "test", "to be looked at")
        aliases.move(session, streams.lock(session, stream.id), "candidate", move)
    with running(service_settings(settings)) as api:
        yield api
    database.close()
    empty(settings.database_url)
