"""What a process writes to its log: read as a machine reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from store.settings import StoreSettings

URL = "postgresql+psycopg://lure:s3cret-pw@127.0.0.1:1/lure"
BEGIN = """
import logging, threading, warnings
import structlog
from store.observe import configure_logging
from store.settings import StoreSettings

configure_logging(StoreSettings(), "test")
"""


def lines_of(settings: StoreSettings, code: str, **names: str) -> list[dict[str, Any]]:
    told = {
        "LURE_DATABASE_URL": URL,
        "LURE_REDIS_URL": settings.redis_url,
        "LURE_BLOBS": str(settings.blobs),
    }
    run = subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        env=os.environ | told | names,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == ""
    return [json.loads(line) for line in run.stderr.splitlines()]


@pytest.fixture
def settings_only() -> StoreSettings:
    return StoreSettings(database_url=URL, redis_url="redis://127.0.0.1:1/0", blobs="/tmp/none")


def test_whoever_writes_the_keys_are_the_same(settings_only: StoreSettings) -> None:
    ours, theirs, warned = lines_of(
        settings_only,
        """
structlog.contextvars.bind_contextvars(stream="digits", trace_id="0af7")
structlog.get_logger("ours").info("done", images=3)
logging.getLogger("celery.worker").warning("lost %s", "it", extra={"chunk": "chk_1"})
warnings.warn("old")
""",
    )
    common = {"timestamp", "level", "logger", "event", "process", "pid", "stream", "trace_id"}
    assert set(ours) == common | {"images"}
    assert set(theirs) == common | {"chunk"}
    assert (ours["event"], ours["level"], ours["process"]) == ("done", "info", "test")
    assert (theirs["event"], theirs["logger"]) == ("lost it", "celery.worker")
    assert (warned["logger"], warned["level"]) == ("py.warnings", "warning")


def test_an_exception_that_nobody_catches_is_a_line_too(settings_only: StoreSettings) -> None:
    in_thread, at_end = lines_of(
        settings_only,
        """
def fail(): raise ValueError("in " + threading.current_thread().name)
thread = threading.Thread(target=fail, name="aside")
thread.start(); thread.join()
fail()
""",
    )
    assert (in_thread["level"], in_thread["thread_name"]) == ("error", "aside")
    assert (at_end["level"], at_end["event"]) == ("critical", "the process ends with an exception")
    assert "ValueError: in MainThread" in at_end["exception"]


@pytest.mark.parametrize("log_json", ["true", "false"])
def test_no_secret_and_no_bytes_come_into_the_log(
    settings_only: StoreSettings, log_json: str
) -> None:
    told = {"LURE_DATABASE_URL": URL, "LURE_REDIS_URL": "redis://127.0.0.1:1", "LURE_BLOBS": "/tmp"}
    code = f"""
structlog.get_logger().info("cannot reach {URL}", headers={{"Authorization": "Bearer abc.def"}})
logging.getLogger("sqlalchemy").error("{URL}")
structlog.get_logger().info("image", data=b"\\x89PNG" * 1000, key="in-the-environment")
try: raise RuntimeError("{URL}")
except RuntimeError: logging.getLogger().exception("failed")
"""
    run = subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        env=os.environ
        | told
        | {"AWS_SECRET_ACCESS_KEY": "in-the-environment", "LURE_LOG_JSON": log_json},
        capture_output=True,
        text=True,
        check=True,
    )
    for secret in ("s3cret-pw", "abc.def", "in-the-environment", "PNG"):
        assert secret not in run.stderr
    assert "<4000 bytes>" in run.stderr


def test_libraries_do_not_tell_which_addresses_are_called(settings_only: StoreSettings) -> None:
    code = """
import httpx
try: httpx.post("http://127.0.0.1:1/a-secret-path")
except httpx.ConnectError: pass
httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))).get("http://x/a-secret")
"""
    assert lines_of(settings_only, code, LURE_LOG_LEVEL="DEBUG") == []


def test_a_line_has_an_end(settings_only: StoreSettings) -> None:
    (line,) = lines_of(settings_only, "structlog.get_logger().info('long', words='x' * 10**6)")
    assert len(line["words"]) < 20_000
