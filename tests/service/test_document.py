from __future__ import annotations

import pytest

from service.main import create_app
from store.settings import StoreSettings
from tests.service.serving import running, service_settings


def test_the_document_is_made_once_and_not_sent_to_who_has_it(
    settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(service_settings(settings)) as api:
        first = api.client.get("/openapi.json")
        assert first.headers["content-type"] == "application/json"
        assert first.json() == api.app.openapi()

        def again() -> None:
            raise AssertionError("it is put together anew")

        monkeypatch.setattr(api.app, "openapi", again)
        assert api.client.get("/openapi.json").content == first.content
        seen = {"if-none-match": first.headers["etag"]}
        unchanged = api.client.get("/openapi.json", headers=seen)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == first.headers["etag"]


def test_two_processes_tell_the_same_document(settings: StoreSettings) -> None:
    wanted = service_settings(settings)
    assert create_app(wanted).openapi() == create_app(wanted).openapi()
