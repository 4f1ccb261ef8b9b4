"""Clients with just the key that they need, against a service that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import tritonclient.http as triton

from lure.client import Client
from lure.errors import LureError
from store.blobs import Blobs
from store.keys import INGEST, PREDICT, READ
from tests.conftest import Servers, settings_for
from tests.digits import digits_zip, images, png
from tests.service.access.conftest import Closed, closed_service, shown
from tests.service.serving import digits_stream, learned, until


@pytest.fixture(scope="module")
def serving(
    _migrated: None, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Closed]:
    """A service with keys and a version of `digits`."""
    folder = tmp_path_factory.mktemp("serving")
    with closed_service(servers, folder) as service:
        blobs = Blobs.of(settings_for(servers, folder / "blobs"), service.database)
        learned(service.database, blobs, digits_stream(service.database), architecture="mlp")
        watch = service.api.app.state.watch
        watch._champions_moved.set()
        until(lambda: watch.slots.champions() == {"digits": 1})
        yield service


def test_a_bound_predict_key_is_enough_for_lures_client(serving: Closed) -> None:
    _, text = serving.make(PREDICT, stream="digits")
    with Client(serving.api.url, text, retries=0) as client:
        assert client.predict("digits", [png(images[0])])["model_version"] == 1
        with pytest.raises(LureError, match="scope ingest or read") as refused:
            client.chunks("digits")
    assert refused.value.status == 403


def test_a_bound_predict_key_is_enough_for_a_stock_tritonclient(serving: Closed) -> None:
    _, text = serving.make(PREDICT, stream="digits")
    pixels = images[:2, None]
    tensor = triton.InferInput("images", list(pixels.shape), "UINT8").set_data_from_numpy(pixels)
    headers = {"Authorization": shown(text)["authorization"]}
    with triton.InferenceServerClient(urlsplit(serving.api.url).netloc) as client:
        assert client.is_server_ready()
        assert client.is_model_ready("digits", headers=headers)
        assert client.get_model_metadata("digits", headers=headers)["name"] == "digits"
        answer = client.infer("digits", [tensor], headers=headers)
        assert answer.as_numpy("probabilities").shape == (2, 10)
        assert not client.is_model_ready("digits")


def test_a_bound_predict_key_asks_without_naming_its_stream(serving: Closed) -> None:
    _, text = serving.make(PREDICT, stream="digits")
    body = {"instances": images[:1, None].tolist()}
    assert serving.ask(text, "POST", "/invocations", json=body).status_code == 200
    answer = serving.ask(text, "POST", "/predictions/digits", content=png(images[0]))
    assert answer.status_code == 200


def test_ingest_and_read_are_enough_to_push_and_follow(serving: Closed, tmp_path: Path) -> None:
    _, text = serving.make(INGEST, READ, stream="digits")
    path = tmp_path / "digits.zip"
    path.write_bytes(digits_zip(range(20)))
    with Client(serving.api.url, text, retries=0) as client:
        chunk = client.upload("digits", path)
        with pytest.raises(LureError, match="still received"):
            client.wait_for_chunk("digits", chunk["id"], timeout_s=0.0)
        with pytest.raises(LureError, match="scope admin"):
            client.rollback("digits")
