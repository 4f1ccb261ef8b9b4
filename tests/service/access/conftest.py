from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from store import audit, keys, schema
from store.engine import Database
from store.keys import ADMIN, NewKey
from store.models import ApiKey, AuditEntry, Base
from store.settings import StoreSettings
from tests.conftest import Servers, empty, settings_for
from tests.service.serving import Running, running, service_settings


@dataclass(frozen=True)
class Closed:
    """A service with keys; tests of one module share it."""

    api: Running
    database: Database
    admin: str

    @property
    def gate(self) -> Any:
        return self.api.app.state.gate

    def make(self, *scopes: str, **fields: Any) -> tuple[ApiKey, str]:
        """A new key, known to the service already."""
        row_and_text = make(self.database, scopes or [ADMIN], **fields)
        self.api.app.state.watch.keeper.keyring.refresh()
        return row_and_text

    def ask(self, key: str | None, method: str, path: str, **more: Any) -> httpx.Response:
        headers = more.pop("headers", {}) | shown(key)
        return self.api.client.request(method, path, headers=headers, **more)


def make(database: Database, scopes: Sequence[str], **fields: Any) -> tuple[ApiKey, str]:
    wanted = NewKey(**({"name": "key", "scopes": list(scopes)} | fields))
    with database.begin() as session:
        return keys.create(session, wanted, who="test")


def shown(key: str | None) -> dict[str, str]:
    return {} if key is None else {"authorization": f"Bearer {key}"}


def entries(database: Database, action: str) -> list[AuditEntry]:
    with database.begin() as session:
        page = audit.page(session, size=500)
    return [row for row in page.items if row.action == action]


def exposed(settings: StoreSettings, **changes: Any) -> AbstractContextManager[Running]:
    """A service that believes that others can reach it; the test's socket is on loopback."""
    return running(service_settings(settings, host="0.0.0.0", **changes))


def without(monkeypatch: pytest.MonkeyPatch, *models: type[Base]) -> None:
    """As if the database was of the release before."""
    monkeypatch.setattr(schema, "_seen", schema._seen - set(models))
    for model in models:
        monkeypatch.setattr(model, "__tablename__", f"no_{model.__tablename__}")


@contextmanager
def closed_service(servers: Servers, folder: Any, **changes: Any) -> Iterator[Closed]:
    settings = settings_for(servers, folder / "blobs")
    database = Database(settings)
    try:
        _, admin = make(database, [ADMIN], name="root")
        quiet = {"failed_auths_per_minute": 0} | changes
        with running(service_settings(settings, **quiet)) as api:
            yield Closed(api, database, admin)
    finally:
        database.close()
        empty(settings.database_url)


@pytest.fixture(scope="module")
def closed(
    _migrated: None, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Closed]:
    with closed_service(servers, tmp_path_factory.mktemp("closed")) as service:
        yield service
