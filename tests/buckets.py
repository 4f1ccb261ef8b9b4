"""A real S3 endpoint: moto's server, as a process of its own, which a test can stop and start."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import httpx
from obstore.store import S3Store

from lure.processes import Child, Spec
from lure.waiting import until
from store.settings import StoreSettings
from tests.ports import free_port
from tests.relay import Relay

_numbers = itertools.count(1)
KEY = {"access_key_id": "lure", "secret_access_key": "not a secret"}


class S3:
    """The endpoint; what was put is lost when it is stopped."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        argv = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port))
        self.child = Child(Spec("moto", argv, folder / "moto.log"))

    def start(self) -> S3:
        self.child.start()
        assert until(self._answers, timeout_s=60), self.child.tail()
        return self

    def stop(self) -> None:
        self.child.kill()

    def new_bucket(self) -> str:
        name = f"bucket-{next(_numbers)}"
        httpx.put(f"{self.url}/{name}").raise_for_status()
        return name

    def settings(self, cache: Path, *, bucket: str | None = None) -> dict[str, Any]:
        """The settings of a store in a bucket, a new one unless it is named."""
        return {
            "blobs": f"s3://{bucket or self.new_bucket()}/some/prefix",
            "cache": cache,
            "s3_endpoint": self.url,
            "s3_region": "us-east-1",
            "s3_access_key_id": KEY["access_key_id"],
            "s3_secret_access_key": KEY["secret_access_key"],
        }

    def reached_by(self, relay: Relay, settings: StoreSettings, cache: Path) -> StoreSettings:
        """Settings of the same, in a new bucket that is reached by way of a relay."""
        return settings.model_copy(update=self.settings(cache) | {"s3_endpoint": relay.url})

    def store(self, settings: StoreSettings) -> S3Store:
        """What lies below the settings' prefix, for a look past our own code."""
        bucket, _, prefix = settings.blobs.removeprefix("s3://").partition("/")
        return S3Store(
            bucket,
            prefix=prefix,
            endpoint=self.url,
            region="us-east-1",
            client_options={"allow_http": True},
            **KEY,
        )

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url).status_code < 500
        except httpx.TransportError:
            assert self.child.running, self.child.tail()
            return False
