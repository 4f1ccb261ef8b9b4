from __future__ import annotations

from store.blobs import Blobs
from store.engine import Database
from store.settings import StoreSettings
from tests.conftest import Servers
from tests.service.serving import digits_stream, learned, running, service_settings, until


def test_it_lives_and_is_ready_with_nothing_away(
    settings: StoreSettings, database: Database
) -> None:
    with running(service_settings(settings)) as api:
        assert api.client.get("/livez").json() == {"live": True}
        for path in (
            "/livez",
            "/readyz",
            "/ping",
            "/health",
            "/v2/health/live",
            "/v2/health/ready",
        ):
            probe = api.client.head(path)
            assert (probe.status_code, probe.content) == (200, b"")
        until(lambda: api.client.get("/readyz").json() == {"ready": True, "degraded": []})


def test_before_the_champions_are_known_it_lives_but_is_not_ready(
    settings: StoreSettings, database: Database, servers: Servers
) -> None:
    database.close()
    servers.postgres.kill()
    try:
        with running(service_settings(settings), ready=False) as api:
            assert api.client.get("/livez").status_code == 200
            until(lambda: "database" in api.client.get("/readyz").json()["degraded"])
            answer = api.client.get("/readyz")
            assert answer.status_code == 503
            assert answer.json()["ready"] is False
            assert answer.headers["retry-after"]
            servers.postgres.start()
            until(lambda: api.client.get("/readyz").status_code == 200)
    finally:
        servers.postgres.start()


def test_when_it_is_ready_it_serves_every_champion(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    names = [f"s{n}" for n in range(5)]
    for name in names:
        learned(database, blobs, digits_stream(database, name))
    with running(service_settings(settings)) as api:
        assert api.app.state.watch.slots.champions() == dict.fromkeys(names, 1)


def test_a_champion_that_does_not_load_is_told_and_the_rest_is_ready(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    learned(database, blobs, digits_stream(database, "good"))
    lost = learned(database, blobs, digits_stream(database, "lost"), seed=1)
    blobs.local(lost.digest).unlink()
    with running(service_settings(settings)) as api:
        assert "models" in api.client.get("/readyz").json()["degraded"]
        assert api.app.state.watch.slots.champions() == {"good": 1}
