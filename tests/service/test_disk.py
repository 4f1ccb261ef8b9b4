"""The disk that uploads come to is told, wherever the blobs lie."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from service.disk import Disk
from store.settings import StoreSettings
from tests.service.serving import service_settings


def told(settings: StoreSettings) -> dict[str, float]:
    disk = Disk(service_settings(settings))
    asyncio.run(disk.refresh())
    return {family.name: family.samples[0].value for family in disk.collect()}


def test_it_is_the_blobs_or_that_of_their_cache(settings: StoreSettings, tmp_path: Path) -> None:
    size = shutil.disk_usage(tmp_path).total
    bucket = {"blobs": "s3://bucket/prefix", "cache": tmp_path / "not made yet"}
    for place in ({}, bucket):
        found = told(settings.model_copy(update=place))
        assert found["lure_disk_size_bytes"] == size
        assert 0 < found["lure_disk_free_bytes"] <= size
