from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text, update

from service.counters import Counters
from store import cycles, figures, replicas, workers
from store.blobs import Blobs
from store.engine import Database
from store.models import Chunk, Feedback, Stream
from store.settings import StoreSettings
from store.states import Stage
from tests.conftest import Servers
from tests.digits import images, png
from tests.factories import admit_chunk, create_chunk, create_stream, create_version, fail_a_cycle
from tests.service.serving import (
    Running,
    digits_stream,
    learned,
    running,
    service_settings,
    until,
)

PNG = {"content-type": "image/png"}


@pytest.fixture
def stream(database: Database, blobs: Blobs) -> Stream:
    stream = digits_stream(database)
    learned(database, blobs, stream)
    return stream


@pytest.fixture
def api(settings: StoreSettings, stream: Stream) -> Iterator[Running]:
    with running(service_settings(settings)) as api:
        yield api


def scrape(api: Running) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = api.client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def test_requests_are_counted_by_route_and_status_never_by_path(api: Running) -> None:
    for path in ("/v1/streams/a/predictions", "/v1/streams/b/predictions"):
        api.client.post(path, content=png(images[0]), headers=PNG)
    api.client.get("/somewhere/else")
    api.client.request("PROPFIND", "/folder")
    found = scrape(api)
    route = "/v1/streams/{stream}/predictions"
    assert found[key("lure_http_requests_total", route=route, method="POST", status="404")] == 2
    assert found[key("lure_http_requests_total", route="none", method="GET", status="404")] == 1
    assert found[key("lure_http_requests_total", route="none", method="other", status="404")] == 1
    assert found[key("lure_http_request_seconds_count", route=route, method="POST")] == 2
    routes = {value for _, labels in found for name, value in labels if name == "route"}
    assert not any("/a/" in one or "else" in one for one in routes)


def test_predictions_are_counted_by_stream_and_version(api: Running) -> None:
    url = "/v1/streams/digits/predictions"
    api.client.post(url, files=[("images", ("a.png", png(image))) for image in images[:3]])
    found = scrape(api)
    assert found[key("lure_predictions_total", stream="digits", version="1")] == 3
    assert found[key("lure_served_version", stream="digits")] == 1
    assert found[key("lure_swap_seconds_count")] == 1
    assert found[key("lure_http_request_body_bytes_total", route="/v1/streams/{stream}/predictions", method="POST")] > 300  # fmt: skip  # noqa: E501


def test_the_series_of_versions_are_bounded() -> None:
    counters = Counters()
    for version in range(2000):
        counters.predicted("digits", version, 1)
    series = [sample for family in counters.versions.collect() for sample in family.samples]
    assert len(series) < 1500


def test_versions_that_went_are_still_in_the_sum() -> None:
    counters = Counters()
    for version in range(1, 2001):
        counters.predicted("digits", version, 1)
    predicted, _ = counters.versions.collect()
    assert sum(sample.value for sample in predicted.samples) == 2000
    [others] = [one for one in predicted.samples if one.labels["version"] == "others"]
    assert (others.labels["stream"], others.value) == ("", 1500)


def test_listeners_are_counted(api: Running) -> None:
    with api.client.stream("GET", "/v1/events"):
        until(lambda: scrape(api)[key("lure_sse_clients")] == 1)


def test_chunks_and_the_active_cycle_are_read_from_the_rows(
    api: Running, database: Database
) -> None:
    stream = create_stream(database, "busy")
    admit_chunk(database, stream, create_chunk(database, stream))
    create_chunk(database, stream, "waits")
    with database.begin() as session:
        claim = cycles.claim_next(session, stream.id, worker="test", stale_s=10)
        assert claim is not None
        cycles.enter(session, stream, claim, Stage.RELEARN)
    found = scrape(api)
    assert found[key("lure_chunks", stream="busy", state="learning")] == 1
    assert found[key("lure_chunks", stream="busy", state="received")] == 1
    assert found[key("lure_chunks", stream="digits", state="learned")] == 1
    assert found[key("lure_cycle_stage_seconds", stream="busy", stage="relearn")] >= 0
    assert found[key("lure_cycle_heartbeat_age_seconds", stream="busy")] >= 0
    assert key("lure_cycle_images_per_second", stream="busy") not in found
    assert found[key("lure_waiting_chunks", stream="busy")] == 1
    assert found[key("lure_oldest_waiting_chunk_seconds", stream="busy")] > 0
    assert found[key("lure_oldest_waiting_chunk_seconds", stream="digits")] == 0
    with database.begin() as session:
        cycles.report(session, stream, claim, {"images_per_s": 1500.5})
    assert scrape(api)[key("lure_cycle_images_per_second", stream="busy")] == 1500.5


def test_what_cycles_took_is_there_from_the_beginning_with_zero(
    api: Running, database: Database, stream: Stream
) -> None:
    ends = {"stream": stream.name, "state": "failed"}
    assert scrape(api)[key("lure_cycle_seconds_count", **ends)] == 0
    fail_a_cycle(database, stream)
    found = scrape(api)
    assert found[key("lure_cycle_seconds_count", **ends)] == 1
    assert found[key("lure_stage_seconds_count", stream=stream.name, stage="load")] == 1
    assert found[key("lure_stage_seconds_count", stream=stream.name, stage="relearn")] == 0
    assert found[key("lure_gate_verdicts_total", stream=stream.name, outcome="failed")] == 0
    assert found[key("lure_chunks", stream=stream.name, state="rejected")] == 0


def test_champions_and_the_replicas_behind_them(
    api: Running, database: Database, stream: Stream
) -> None:
    until(lambda: scrape(api)[key("lure_replicas_behind", stream=stream.name)] == 0)
    with database.begin() as session:
        replicas.renew(session, "another")  # and serves nothing
    found = scrape(api)
    assert found[key("lure_champion_version", stream=stream.name)] == 1
    assert found[key("lure_replicas")] == 2
    assert found[key("lure_replicas_behind", stream=stream.name)] == 1
    assert found[key("lure_ready")] == 1


def test_workers_tell_of_their_machines(api: Running, database: Database) -> None:
    now = time.time()
    facts = {"clock": now, "began_at": now - 100, "swept_at": now - 7, "device": "H200"}
    gpu = {"gpu_memory_used_bytes": 5e9, "gpu_memory_total_bytes": 141e9}
    with database.begin() as session:
        workers.renew(session, "a", queue="learn", facts=facts | gpu)
        workers.renew(session, "b", queue="admit+learn", facts={"clock": now, "began_at": now})
        workers.renew(session, "dead", queue="admit", facts={})
        silent = "UPDATE workers SET seen_at = seen_at - interval '1 minute' WHERE id = 'dead'"
        session.execute(text(silent))
    found = scrape(api)
    assert found[key("lure_workers", queue="learn")] == 2
    assert found[key("lure_workers", queue="admit")] == 1
    assert found[key("lure_worker_heartbeat_age_seconds", queue="admit", worker="dead")] >= 60
    assert abs(found[key("lure_worker_clock_offset_seconds", queue="learn", worker="a")]) < 5
    on = {"queue": "learn", "worker": "a", "device": "H200"}
    assert found[key("lure_gpu_memory_used_bytes", **on)] == 5e9
    assert found[key("lure_gpu_memory_size_bytes", **on)] == 141e9
    assert len([name for name, _ in found if name == "lure_gpu_memory_used_bytes"]) == 1
    assert found[key("lure_last_sweep_age_seconds", queue="admit")] < 5  # since it began
    assert found[key("lure_last_sweep_age_seconds", queue="learn")] < 5
    assert found[key("lure_last_garbage_collection_age_seconds")] < 5


def test_an_older_database_keeps_no_leases(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "has", lambda *_: False)
    found = scrape(api)
    assert key("lure_workers", queue="learn") not in found
    assert key("lure_replicas") in found


def test_the_disk_and_the_release_are_told(api: Running) -> None:
    found = scrape(api)
    free, size = found[key("lure_disk_free_bytes")], found[key("lure_disk_size_bytes")]
    assert 0 < free <= size
    [about] = [dict(labels) for name, labels in found if name == "lure_build_info"]
    assert about.keys() == {"version", "python"}


def test_quality_is_read_from_the_rows(api: Running, database: Database, stream: Stream) -> None:
    for place, outcome in enumerate(("passed", "passed", "failed", "passed", "passed")):
        create_version(
            database,
            stream,
            champion=place == 0,
            metrics={"accuracy": 0.8, "correct": 80 + place, "images": 100},
            verdict={"outcome": outcome},
        )
    with database.begin() as session:
        session.execute(
            update(Chunk).where(Chunk.position.in_((2, 3))).values(prequential_accuracy=0.25)
        )
        session.execute(update(Chunk).where(Chunk.position == 3).values(prequential_accuracy=0.75))
        for version in range(1, 7):  # 2 is the champion, 4 to 6 are the newest
            for label in ("a", "b"):
                prediction = f"prd_{version}_{label}"
                told = {"version": version, "answer": "a", "label": label}
                session.add(Feedback(stream_id=stream.id, prediction_id=prediction, **told))
    found = scrape(api)
    of = stream.name
    assert found[key("lure_gate_verdicts_total", stream=of, outcome="passed")] == 4
    assert found[key("lure_gate_verdicts_total", stream=of, outcome="failed")] == 1
    assert found[key("lure_prequential_accuracy", stream=of)] == 0.75
    assert found[key("lure_cumulative_error", stream=of)] == 90 / 500
    live = [dict(labels)["version"] for name, labels in found if name == "lure_live_accuracy"]
    assert sorted(live) == ["2", "4", "5", "6"]
    assert found[key("lure_live_accuracy", stream=of, version="2")] == 0.5
    assert found[key("lure_live_labelled", stream=of, version="2")] == 2
    assert found[key("lure_champion_version", stream=of)] == 2
    assert found[key("lure_champion_accuracy", stream=of)] == 0.8
    assert found[key("lure_champion_live_accuracy", stream=of)] == 0.5
    assert found[key("lure_champion_live_labelled", stream=of)] == 2


def test_what_is_added_up_over_the_history_is_not_read_at_each_scrape(
    api: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    for name in ("gate_verdicts", "live_accuracies", "cumulative_errors"):
        real = getattr(figures, name)
        monkeypatch.setattr(figures, name, lambda s, n=name, r=real: read.append(n) or r(s))
    for _ in range(3):
        found = scrape(api)
    assert sorted(read) == ["cumulative_errors", "gate_verdicts", "live_accuracies"]
    assert found[key("lure_figures_age_seconds")] < 60


def test_a_scrape_succeeds_while_the_database_is_away(
    api: Running, database: Database, servers: Servers
) -> None:
    assert key("lure_chunks", stream="digits", state="learned") in scrape(api)
    database.close()
    servers.postgres.kill()
    try:
        found = scrape(api)
        assert key("lure_chunks", stream="digits", state="learned") not in found
        assert found[key("lure_served_version", stream="digits")] == 1
        until(lambda: scrape(api)[key("lure_degraded", what="database")] == 1)
    finally:
        servers.postgres.start()
