"""An API whose bytes lie in a bucket, also while that is away."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lure_core.errors import BadCheckpoint
from service.loader import Loader
from store.blobs import Blobs
from store.blobs.asking import untold
from store.blobs.opening import place_of
from store.engine import Database
from store.settings import StoreSettings
from tests.buckets import S3
from tests.conftest import Servers, settings_for
from tests.digits import digits_zip, images, png
from tests.relay import Relay
from tests.service.control import problem, push
from tests.service.serving import Running, digits_stream, learned, running, service_settings

PNG = {"content-type": "image/png"}
WEIGHTS = "/v1/streams/digits/versions/1/artifacts/safetensors"


@pytest.fixture
def settings(servers: Servers, s3: S3, relay: Relay, tmp_path: Path) -> StoreSettings:
    return s3.reached_by(relay, settings_for(servers, tmp_path / "unused"), tmp_path / "cache")


@pytest.fixture
def api(settings: StoreSettings, database: Database, blobs: Blobs) -> Iterator[Running]:
    """A replica with one stream, whose cache was empty when it began."""
    learned(database, blobs, digits_stream(database), architecture="mlp")
    shutil.rmtree(blobs.root)
    with running(service_settings(settings)) as api:
        yield api


def predict(api: Running) -> int:
    url = "/v1/streams/digits/predictions"
    return api.client.post(url, content=png(images[0]), headers=PNG).status_code


def test_an_upload_goes_to_the_bucket_and_a_champion_comes_from_it(
    api: Running, blobs: Blobs
) -> None:
    data = digits_zip(range(20))
    assert push(api.client, "digits", data).status_code == 202
    blobs.check(hashlib.sha256(data).hexdigest())
    assert predict(api) == 200


def test_weights_are_given_out_with_ranges(api: Running) -> None:
    whole = api.client.get(WEIGHTS)
    part = api.client.get(WEIGHTS, headers={"range": "bytes=10-29"})
    assert (whole.status_code, part.status_code) == (200, 206)
    assert part.content == whole.content[10:30]


def test_a_damaged_copy_of_the_weights_is_fetched_anew_for_the_next_trial(
    database: Database, blobs: Blobs
) -> None:
    version = learned(database, blobs, digits_stream(database), architecture="mlp")
    blobs.local(version.digest).write_bytes(b"half of it")
    loader = Loader(blobs)
    with pytest.raises(BadCheckpoint):
        loader.load("digits", version)
    assert loader.load("digits", version).version == 1


def test_a_bucket_that_is_away_refuses_uploads_and_nothing_else(
    api: Running, relay: Relay, blobs: Blobs
) -> None:
    relay.down()
    refused = push(api.client, "digits", digits_zip(range(20)))
    problem(refused, 503, "storage-away")
    assert int(refused.headers["retry-after"]) > 0
    assert len(api.client.get("/v1/streams/digits/chunks").json()["items"]) == 1  # the old one
    assert predict(api) == 200
    assert api.client.get(WEIGHTS).status_code == 200  # fetched when they were loaded
    assert api.client.get("/readyz").status_code == 200
    shutil.rmtree(blobs.root)
    problem(api.client.get(WEIGHTS), 503, "storage-away")
    relay.up()
    assert push(api.client, "digits", digits_zip(range(20))).status_code == 202
    assert api.client.get(WEIGHTS).status_code == 200
    told = api.client.get("/metrics").text
    assert 'lure_storage_requests_total{operation="list",outcome="failed"}' in told


def test_another_databases_place_takes_no_upload_and_is_predicted_from(
    api: Running, blobs: Blobs, settings: StoreSettings
) -> None:
    place = place_of(settings, untold)
    [mark] = place.marks()
    place.unmark(mark)
    place.mark("0" * 32)
    problem(push(api.client, "digits", digits_zip(range(20))), 503, "storage-away")
    assert len(api.client.get("/v1/streams/digits/chunks").json()["items"]) == 1  # the old one
    assert predict(api) == 200
    blobs.adopt()
    assert push(api.client, "digits", digits_zip(range(20))).status_code == 202
