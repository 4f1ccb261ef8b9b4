from __future__ import annotations

import json

import pytest

from store.redact import Redactor
from store.settings import StoreSettings

KEY = "lure_" + "aB3-_" * 9


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("postgresql+psycopg://lure:s3cret-pw@db:5432/lure", "db:5432/lure"),
        ("redis://:s3cret-pw@redis:6379/0", "redis:6379/0"),
        ("host=db user=lure password=s3cret-pw dbname=lure", "dbname=lure"),
        ("Authorization: Bearer s3cret-pw", "Authorization: "),
        ("x-api-key: s3cret-pw, accept: */*", "accept: */*"),
        ("aws_secret_access_key='s3cret-pw' region=eu", "region=eu"),
        (json.dumps({"event": "x", "token": "s3cret-pw", "n": 1}), '"n": 1'),
        (json.dumps({"event": json.dumps({"secret": "s3cret-pw"}), "n": 1}), '"n": 1'),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, left: str) -> None:
    redacted = Redactor()(text)
    assert "s3cret-pw" not in redacted
    assert "***" in redacted
    assert left in redacted


def test_api_keys_and_webhook_secrets_are_known_by_their_form() -> None:
    redacted = Redactor()(f"key {KEY} and whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw=")
    assert redacted == "key lure_*** and whsec_***"


def test_a_secret_that_it_was_told_is_masked_wherever_it_stands() -> None:
    redact = Redactor(['quo"ted-secret', "short"])
    assert redact('it is quo"ted-secret!') == "it is ***!"
    assert redact(json.dumps('quo"ted-secret')) == '"***"'
    assert redact("short words stay") == "short words stay"


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8000/v1/streams",
        "lure_predict_queue_seconds_bucket",
        "the token is null, secret=None",
        "2026-11-23T15:26:12.123Z stream=digits chunk=chk_3f9c2b71d04e8a6655aa",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor()(text) == text


def test_it_knows_the_secrets_of_settings_and_environment(
    settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-environment")
    monkeypatch.setenv("LURE_SECRETS_DIR", "/run/secrets")
    url = "postgresql+psycopg://lure:of-the%2Fdatabase@db/lure"
    redact = Redactor.of(settings.model_copy(update={"database_url": url}))
    line = "of-the-environment of-the%2Fdatabase of-the/database /run/secrets"
    assert redact(line) == "*** *** *** /run/secrets"
