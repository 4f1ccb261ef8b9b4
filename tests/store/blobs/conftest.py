"""Each test runs on a folder and on a bucket, unless its module says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import obstore
import pytest
import sqlalchemy as sa

from store.blobs import Blobs
from store.engine import Database
from store.models import Blob
from store.settings import StoreSettings
from tests.buckets import S3
from tests.conftest import Servers, settings_for


@pytest.fixture(params=["folder", "bucket"])
def settings(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> StoreSettings:
    found = settings_for(servers, tmp_path / "blobs")
    if request.param == "folder":
        return found
    s3: S3 = request.getfixturevalue("s3")
    return found.model_copy(update=s3.settings(tmp_path / "cache"))


@pytest.fixture
def damage(settings: StoreSettings, request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Makes other bytes of those that lie under a digest."""

    def spoil(digest: str) -> None:
        where = f"sha256/{digest[:2]}/{digest}"
        if not settings.blobs.startswith("s3://"):
            (Path(settings.blobs) / where).write_bytes(b"other bytes")
            return
        store = request.getfixturevalue("s3").store(settings)
        for one in obstore.list(store, where).collect():
            obstore.put(store, one["path"], b"other bytes", attributes={"sha256": digest})

    return spoil


def lying(blobs: Blobs) -> list[str]:
    """The digests under which bytes lie."""
    return sorted({one.digest for one in blobs.stored()})


def age(database: Database, digest: str) -> None:
    """Make a blob look as if nobody had touched it for a day."""
    with database.begin() as session:
        old = sa.text("clock_timestamp() - interval '1 day'")
        session.execute(sa.update(Blob).where(Blob.digest == digest).values(touched_at=old))
