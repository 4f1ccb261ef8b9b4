"""Uploads beyond a quota are refused before they are taken, with words that help."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from store.settings import StoreSettings
from tests.digits import digits_zip
from tests.service.control import connect, head, problem, push, read_answer
from tests.service.serving import Running, running, service_settings

SMALL = digits_zip(range(20))
QUOTA = 3 * len(SMALL)


@pytest.fixture
def api(settings: StoreSettings, database: object) -> Iterator[Running]:
    with running(service_settings(settings, quota_bytes=QUOTA)) as api:
        yield api


@pytest.fixture
def roomy(settings: StoreSettings, database: object) -> Iterator[Running]:
    """Without a quota of the whole service."""
    with running(service_settings(settings)) as api:
        yield api


def create(client: httpx.Client, name: str, max_bytes: int | None = None) -> str:
    body = {"name": name, "architecture": "mlp", "policies": {"quota": {"max_bytes": max_bytes}}}
    assert client.post("/v1/streams", json=body).status_code == 201
    return name


def patch(client: httpx.Client, stream: str, max_bytes: int | None) -> None:
    url = f"/v1/streams/{stream}"
    tag = client.get(url).headers["etag"]
    body = {"policies": {"quota": {"max_bytes": max_bytes}}}
    answer = client.patch(url, json=body, headers={"if-match": tag})
    assert answer.status_code == 200, answer.text


def metric(client: httpx.Client, line: str) -> float:
    [value] = [
        one.rpartition(" ")[2]
        for one in client.get("/metrics").text.splitlines()
        if one.startswith(f"{line} ")
    ]
    return float(value)


def test_no_byte_is_taken_of_an_upload_beyond_the_services_quota(api: Running) -> None:
    stream = create(api.client, "one")
    assert push(api.client, stream, SMALL).status_code == 202
    with connect(api.url) as connection:
        # nothing but the head is ever sent
        connection.sendall(head(stream, content_length=str(QUOTA), expect="100-continue"))
        answer = read_answer(connection)
    assert answer.startswith(b"HTTP/1.1 507")
    assert b"urn:lure:problem:quota-used-up" in answer
    assert f"LURE_QUOTA_BYTES) is {QUOTA} bytes, {len(SMALL)} are used".encode() in answer


def test_what_has_room_is_taken_and_counts_at_once(api: Running) -> None:
    stream = create(api.client, "two")
    statuses = [
        push(api.client, stream, digits_zip(range(first, first + 20))).status_code
        for first in range(20, 140, 20)
    ]
    assert set(statuses) == {202, 507}
    assert statuses.count(202) <= 3
    refusals = metric(api.client, 'lure_quota_refusals_total{quota="all"}')
    assert refusals == statuses.count(507)
    assert metric(api.client, "lure_quota_bytes") == QUOTA


def test_a_streams_own_quota_holds_for_it_alone_and_can_be_raised(roomy: Running) -> None:
    client = roomy.client
    tight = create(client, "tight", max_bytes=len(SMALL) + 10)
    other = create(client, "other")
    assert push(client, tight, SMALL).status_code == 202
    more = digits_zip(range(20, 40))
    told = problem(push(client, tight, more), 507, "quota-used-up")
    assert f"{len(SMALL)} are used" in told["detail"]
    assert "policies.quota.max_bytes" in told["detail"]
    assert "PATCH" in told["detail"]
    assert push(client, other, more).status_code == 202
    patch(client, tight, None)
    assert push(client, tight, more).status_code == 202
    assert client.get(f"/v1/streams/{tight}").json()["policies"]["quota"] == {"max_bytes": None}
    assert metric(client, 'lure_quota_refusals_total{quota="stream"}') == 1


def test_a_body_that_does_not_say_its_length_is_refused_while_it_comes(
    roomy: Running, settings: StoreSettings
) -> None:
    stream = create(roomy.client, "tight", max_bytes=1 << 20)
    blocks = (bytes(1 << 16) for _ in range(100))
    problem(push(roomy.client, stream, blocks), 507, "quota-used-up")
    assert roomy.client.get(f"/v1/streams/{stream}/chunks").json()["items"] == []
    assert list(Path(settings.blobs).rglob("*/*/*")) == []


def test_a_quota_is_a_number_of_bytes(roomy: Running) -> None:
    body = {"name": "s", "architecture": "mlp", "policies": {"quota": {"max_bytes": -1}}}
    told = problem(roomy.client.post("/v1/streams", json=body), 422, "invalid")
    assert told["errors"][0]["pointer"] == "/policies/quota/max_bytes"


def test_stored_bytes_are_told_by_kind(roomy: Running) -> None:
    stream = create(roomy.client, "one")
    push(roomy.client, stream, SMALL)
    assert metric(roomy.client, 'lure_stored_bytes{kind="upload"}') == len(SMALL)
    assert metric(roomy.client, 'lure_stored_bytes{kind="weights"}') == 0
