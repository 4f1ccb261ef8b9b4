"""The service's log, as a machine reads it, of a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from store.engine import Database
from store.settings import StoreSettings
from tests.digits import digits_zip
from tests.factories import create_stream
from tests.service.control import ZIP
from tests.service.test_main import process

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def chatty(settings: StoreSettings) -> StoreSettings:
    return settings.model_copy(update={"log_json": True, "log_level": "DEBUG"})


@pytest.fixture
def asked(database: Database, chatty: StoreSettings, tmp_path: Path) -> list[dict[str, Any]]:
    """The lines of a service that was asked a few things."""
    create_stream(database, "digits")
    log = tmp_path / "log"
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-00", "x-request-id": "mine"}
    with process(chatty, log) as (child, url):
        with httpx.Client(base_url=url, headers=headers) as client:
            upload = client.post(
                "/v1/streams/digits/chunks", content=digits_zip(range(60)), headers=ZIP
            )
            chunk = upload.json()["id"]
            assert client.get(f"/v1/streams/digits/chunks/{chunk}").status_code == 200
            assert client.get("/v1/streams/digits/versions/7").status_code == 404
            client.get("/v2/models/digits/ready")
            bearer = {"authorization": "Bearer lure_" + "s" * 43}
            client.get("/v1/streams?page_token=x", headers=bearer)
        child.terminate()
        child.wait()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [*lines, {"chunk": chunk, "event": "the test's own"}]


def test_each_line_of_a_request_tells_what_it_is_about(asked: list[dict[str, Any]]) -> None:
    *lines, own = asked
    mine = [line for line in lines if line.get("request_id") == "mine"]
    assert {line["trace_id"] for line in mine} == {TRACE}
    requests = {line["path"]: line for line in mine if line["event"] == "request"}
    received = next(line for line in mine if line["event"] == "chunk received")
    assert (received["stream"], received["chunk"]) == ("digits", own["chunk"])
    one = requests[f"/v1/streams/digits/chunks/{own['chunk']}"]
    assert (one["stream"], one["chunk"], one["status"]) == ("digits", own["chunk"], 200)
    assert requests["/v1/streams/digits/versions/7"]["version"] == "7"
    assert requests["/v2/models/digits/ready"]["stream"] == "digits"
    assert "stream" not in requests["/v1/streams"]


def test_everybody_writes_it_the_same_way(asked: list[dict[str, Any]]) -> None:
    *lines, _ = asked
    common = {"timestamp", "level", "logger", "event", "process", "pid"}
    assert all(common <= set(line) for line in lines)
    assert {line["process"] for line in lines} == {"api"}
    assert any(line["logger"].startswith("uvicorn") for line in lines)
    assert "lure_ssss" not in json.dumps(lines)


def test_without_opentelemetry_it_says_so_and_serves(
    database: Database, chatty: StoreSettings, tmp_path: Path
) -> None:
    hidden = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from store.observe import configure_logging; from store.settings import StoreSettings\n"
        "from store import tracing\n"
        "settings = StoreSettings(); configure_logging(settings, 'test')\n"
        "tracing.install(settings, 'lure-test')\n"
        "with tracing.trace('x') as span: assert span.traceparent is None\n"
        "tracing.close()\n"
    )
    told = {
        "LURE_DATABASE_URL": chatty.database_url,
        "LURE_REDIS_URL": chatty.redis_url,
        "LURE_BLOBS": str(chatty.blobs),
        "LURE_OTLP_ENDPOINT": "http://127.0.0.1:1",
    }
    run = subprocess.run(
        [sys.executable, "-c", hidden],
        env=os.environ | told,
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [json.loads(text) for text in run.stderr.splitlines()]
    assert line["level"] == "warning"
    assert "pip install 'lure[tracing]'" in line["event"]
