"""Two real processes behind one port."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select
from structlog.testing import capture_logs

from service.sharing import Shared
from service.tally import VERSIONS, Tally
from store.blobs import Blobs
from store.engine import Database
from store.models import Replica
from store.settings import StoreSettings
from tests.digits import images, png
from tests.service.serving import digits_stream, learned, process, until

URL = "/v1/streams/digits/predictions"
PNG = {"content-type": "image/png"}


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def leases(database: Database) -> set[str]:
    with database.begin() as session:
        return set(session.scalars(select(Replica.id)))


def predicted(url: str, times: int) -> None:
    """So many predictions, each over a connection of its own: any process may get it."""
    for _ in range(times):
        assert httpx.post(url + URL, content=png(images[0]), headers=PNG).status_code == 200


def figure(url: str, name: str, **labels: str) -> float:
    text = httpx.get(f"{url}/metrics").text
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    return sum(
        one.value for one in samples if one.name == name and labels.items() <= one.labels.items()
    )


def counted(url: str) -> tuple[float, ...]:
    """By the requests, by the images of batches, and by the version."""
    route = "/v1/streams/{stream}/predictions"
    return (
        figure(url, "lure_http_requests_total", route=route, status="200"),
        figure(url, "lure_predict_batch_images_sum"),
        figure(url, "lure_predictions_total", stream="digits", version="1"),
    )


@pytest.mark.timeout(180)
def test_two_processes_count_as_one_and_a_killed_one_comes_back(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    learned(database, blobs, digits_stream(database))
    with process(settings, processes=2) as api:
        until(lambda: len(leases(database)) == 2, timeout_s=60)
        before = leases(database)
        until(lambda: figure(api.url, "lure_served_version") == 1)
        predicted(api.url, 40)
        until(lambda: counted(api.url) == (40, 40, 40))  # whichever process is asked
        assert figure(api.url, "lure_swap_seconds_count") == 2

        victim, survivor = children(api.process.pid)
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in children(api.process.pid))
        until(lambda: len(leases(database) - before) == 1, timeout_s=60)  # in its place
        assert survivor in children(api.process.pid)
        predicted(api.url, 20)
        until(lambda: counted(api.url) == (60, 60, 60))  # what the dead one had shown is not lost
        until(lambda: figure(api.url, "lure_swap_seconds_count") == 3)
        api.process.send_signal(signal.SIGTERM)
        assert api.process.wait(30) == 0
    assert len(leases(database) & before) <= 1  # those that live gave theirs back
    assert leases(database) <= before


@pytest.mark.timeout(180)
def test_nobody_stays_when_the_one_who_watches_is_killed(
    settings: StoreSettings, database: Database, blobs: Blobs
) -> None:
    learned(database, blobs, digits_stream(database))
    with process(settings, processes=2) as api:
        left = children(api.process.pid)
        api.process.kill()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), timeout_s=60)


def test_a_process_goes_on_counting_where_the_one_before_it_stopped(tmp_path: Path) -> None:
    first, other = Tally(Shared(tmp_path, "0")), Tally(Shared(tmp_path, "1"))
    first.add("digits", 1, images=3, seconds=0.5)
    other.add("digits", 1, images=4, seconds=0.25)
    other.publish()
    assert sums(first) == {"lure_predictions_total": 7, "lure_version_compute_seconds_total": 0.75}
    heir = Tally(Shared(tmp_path, "0"))
    heir.add("digits", 1, images=1)
    assert sums(heir)["lure_predictions_total"] == 8


def test_many_may_publish_at_once(tmp_path: Path) -> None:
    tally = Tally(Shared(tmp_path, "0"))
    for version in range(VERSIONS):
        tally.add("digits", version, images=1)

    def scrape(_: int) -> float:
        tally.publish()
        return sums(tally)["lure_predictions_total"]

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(scrape, range(40))) == {VERSIONS}


def test_counts_that_cannot_be_written_are_a_line_in_the_log(tmp_path: Path) -> None:
    tally = Tally(Shared(tmp_path / "gone", "0"))
    tally.add("digits", 1, images=1)
    with capture_logs() as lines:
        tally.publish()
    assert [line["event"] for line in lines] == ["counts by version cannot be written"]


def test_versions_asked_for_long_ago_go_and_stay_in_the_sum(tmp_path: Path) -> None:
    tally = Tally(Shared(tmp_path, "0"))
    for version in range(3 * VERSIONS):
        tally.add("digits", version, images=1)
    assert sums(tally)["lure_predictions_total"] == 3 * VERSIONS
    predicted, _ = tally.collect()
    assert len(predicted.samples) == VERSIONS + 1
    after = Tally(Shared(tmp_path, "0"))  # the one that takes over where it stopped
    assert sums(after)["lure_predictions_total"] == 3 * VERSIONS


def sums(tally: Tally) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in tally.collect():
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found
