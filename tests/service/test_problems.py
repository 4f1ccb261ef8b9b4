"""Every refusal is a problem, also those of the framework, and each request has a name."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.errors import TABLE
from store.engine import Database
from store.settings import StoreSettings
from tests.digits import digits_zip
from tests.service.conftest import Plane
from tests.service.control import problem, push
from tests.service.serving import running, service_settings


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for item in document["paths"].values() for operation in item.values()]


def test_an_unknown_path_is_a_problem(client: httpx.Client) -> None:
    problem(client.get("/nowhere"), 404, "not-found")
    problem(client.get("/v1/streams/"), 404, "not-found")


def test_an_unknown_method_is_a_problem_that_names_the_known(client: httpx.Client) -> None:
    answer = client.delete("/livez")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET"


def test_a_body_that_is_no_json_is_a_problem(client: httpx.Client) -> None:
    answer = client.post("/v1/streams", data={"name": "x"})
    assert "application/json" in problem(answer, 415, "media-type")["detail"]


DEEP = b'{"name": "x", "recipe": %s%s}' % (b"[" * 40_000, b"]" * 40_000)


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"{'name': 'x'}", '{"name": "ü"}'.encode("latin-1"), DEEP]
)
def test_broken_json_is_a_problem_however_it_is_broken(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v1/streams", content=body, headers={"content-type": "application/json"})
    told = problem(answer, 422, "invalid")
    [fault] = told["errors"]
    assert fault["pointer"] == ""
    assert fault["detail"].startswith("not valid JSON")


def test_deep_json_is_refused_by_what_it_holds(client: httpx.Client) -> None:
    body = {"name": "x", "recipe": json.loads("[" * 900 + "]" * 900)}
    told = problem(client.post("/v1/streams", json=body), 422)
    assert told["errors"][0]["pointer"] == "/recipe"


def test_a_large_json_body_is_refused(client: httpx.Client) -> None:
    large = json.dumps({"name": "x", "classes": ["y" * 200_000]})
    headers = {"content-type": "application/json"}
    problem(client.post("/v1/streams", content=large, headers=headers), 413, "too-large")
    pieces = (large[start : start + 1000].encode() for start in range(0, len(large), 1000))
    problem(client.post("/v1/streams", content=pieces, headers=headers), 413)


def test_a_failure_tells_nothing_and_leaves_nothing(
    client: httpx.Client, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LURE_FAILPOINT", "upload.stored:raise")
    told = problem(push(client, stream, digits_zip(range(9))), 500, "internal")
    assert "upload.stored" not in json.dumps(told)
    assert "Error" not in told["detail"]
    monkeypatch.delenv("LURE_FAILPOINT")
    assert push(client, stream, digits_zip(range(9))).status_code == 202


def test_a_database_that_is_away_is_said_and_may_come_back(
    settings: StoreSettings, database: Database
) -> None:
    away = "postgresql+psycopg://lure:secret@127.0.0.1:1/lure"
    with running(service_settings(settings, database_url=away), ready=False) as api:
        answer = api.client.get("/v1/streams")
        told = problem(answer, 503, "database-away")
        assert answer.headers["retry-after"]
        assert "127.0.0.1" not in told["detail"]
        problem(push(api.client, "digits", b"data"), 503, "database-away")


def test_too_little_disk_is_said_before_the_body_is_taken(
    settings: StoreSettings, plane: Plane, stream: str
) -> None:
    full = service_settings(settings, min_free_bytes=1 << 60)
    with running(full) as api:
        problem(push(api.client, stream, digits_zip(range(9))), 507, "disk-full")


def test_a_disk_that_fills_up_at_the_last_moment_is_said(
    client: httpx.Client, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "hardlink_to", full)
        problem(push(client, stream, digits_zip(range(9))), 507, "disk-full")
    assert push(client, stream, digits_zip(range(9))).status_code == 202


def test_a_request_keeps_the_names_it_came_with(client: httpx.Client) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"X-Request-Id": "mine-7", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    answer = client.get("/nowhere", headers=headers)
    assert answer.headers["x-request-id"] == "mine-7"
    version, trace_id, span, flags = answer.headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", trace, "01")
    assert span != "b7ad6b7169203331"
    assert answer.json()["trace_id"] == trace


@pytest.mark.parametrize("name", ["a b", "x" * 200, "a\tb", ""])
def test_a_malformed_name_is_replaced(client: httpx.Client, name: str) -> None:
    answer = client.get("/livez", headers={"X-Request-Id": name, "traceparent": "00-xyz"})
    assert answer.headers["x-request-id"] != name
    assert answer.headers["x-request-id"]
    assert len(answer.headers["traceparent"]) == 55


def test_the_document_shows_a_problem_for_every_refusal(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert set(document["components"]["schemas"]["Problem"]["required"]) >= {"type", "title"}
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                shown = response["content"].get("application/problem+json")
                if shown is None:  # a probe's answer
                    assert response["content"]["application/json"]["example"]
                    continue
                assert shown["schema"] == {"$ref": "#/components/schemas/Problem"}
                assert shown["examples"], (operation["operationId"], status)


def test_the_document_shows_bodies_answers_and_headers(client: httpx.Client) -> None:
    for operation in operations(client.get("/openapi.json").json()):
        name = operation["operationId"]
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        assert body is None or "$ref" in str(body["schema"]) or body["example"], name
        for status, response in operation["responses"].items():
            answer = response.get("content", {}).get("application/json", {"schema": "none"})
            assert answer["schema"], (name, status)
            assert status != "503" or "Retry-After" in response["headers"], name
    paths = client.get("/openapi.json").json()["paths"]
    read = {
        "/v2/models/{model}/infer": {
            "X-Request-Timeout-Ms",
            "Inference-Header-Content-Length",
            "Content-Encoding",
        },
        "/v1/streams/{stream}/versions/{version}/artifacts/onnx": {"Range", "prefer"},
    }
    for path, names in read.items():
        [operation] = paths[path].values()
        assert names <= {one["name"] for one in operation["parameters"]}


def test_operations_have_stable_names(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    names = [operation["operationId"] for operation in operations(document)]
    assert len(names) == len(set(names))
    assert {
        "create_stream",
        "list_streams",
        "get_stream",
        "upload_chunk",
        "list_chunks",
        "get_chunk",
        "get_chunk_report",
        "release_chunk",
        "list_cycles",
        "get_cycle",
        "list_versions",
        "get_version",
        "list_aliases",
        "get_alias",
        "put_alias",
        "get_alias_history",
        "rollback_alias",
        "release_alias",
    } <= set(names)


def test_every_reference_of_the_document_leads_somewhere(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(document["components"]["schemas"])


def test_the_table_has_one_row_for_each_kind() -> None:
    slugs: dict[str, int] = {}
    for kind in TABLE.values():
        assert slugs.setdefault(kind.slug, int(kind.status)) == int(kind.status)
