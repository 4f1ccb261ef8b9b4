"""The place that the settings name: a folder, or a bucket with its cache."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.store import S3Store

from store.blobs.asking import Told
from store.blobs.bucket import Bucket
from store.blobs.cache import Cache
from store.blobs.folder import Folder
from store.blobs.place import Place
from store.settings import StoreSettings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

_TIMEOUT_S = 60  # of one request, which carries a few MiB
_RETRIES: RetryConfig = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=2),
        "base": 2,
    },
}


def place_of(settings: StoreSettings, told: Told) -> Place:
    """Open it: a folder is made, a bucket is not asked yet."""
    url = urlsplit(settings.blobs)
    if url.scheme != "s3":
        return Folder(Path(settings.blobs).expanduser())
    store = S3Store(
        url.netloc,
        prefix=url.path.strip("/") or None,
        config=_config(settings, url.netloc),
        client_options=_client(settings),
        retry_config=_RETRIES,
    )
    cache = Cache(
        settings.cache.expanduser(),
        settings.cache_bytes,
        free_bytes=2 * settings.min_free_bytes,  # before uploads are refused for want of it
    )
    return Bucket(store, cache, told)


def _config(settings: StoreSettings, bucket: str) -> S3Config:
    """What is not stated comes from the usual variables and services of AWS."""
    config: S3Config = {
        "virtual_hosted_style_request": settings.s3_virtual_hosted,
        "disable_bulk_delete": True,  # not every store has it, and objects go one by one here
    }
    if settings.s3_endpoint is not None:
        config["endpoint"] = _endpoint(settings.s3_endpoint, bucket, settings.s3_virtual_hosted)
    if settings.s3_region is not None:
        config["region"] = settings.s3_region
    if settings.s3_access_key_id is not None and settings.s3_secret_access_key is not None:
        config["access_key_id"] = settings.s3_access_key_id
        config["secret_access_key"] = settings.s3_secret_access_key
    return config


def _client(settings: StoreSettings) -> ClientConfig:
    client: ClientConfig = {
        "timeout": timedelta(seconds=_TIMEOUT_S),
        "connect_timeout": timedelta(seconds=5),
    }
    if settings.s3_endpoint is not None:
        client["allow_http"] = settings.s3_endpoint.startswith("http://")
    return client


def _endpoint(endpoint: str, bucket: str, virtual_hosted: bool) -> str:
    """The store as obstore wants it: with the bucket in the host's name if that is the style."""
    if not virtual_hosted:
        return endpoint
    scheme, _, host = endpoint.partition("://")
    return f"{scheme}://{bucket}.{host}"
