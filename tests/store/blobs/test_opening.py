"""Which place the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from store.blobs import opening
from store.settings import StoreSettings


def settings(**more: object) -> StoreSettings:
    return StoreSettings(database_url="", redis_url="", **more)


@pytest.mark.parametrize("place", ["gs://bucket", "http://host/bucket", "s3://", "s3://b?c=d"])
def test_what_is_neither_a_folder_nor_a_bucket_is_refused(place: str) -> None:
    with pytest.raises(ValidationError, match="a folder or s3://bucket/prefix"):
        settings(blobs=place)


def test_half_a_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="go together"):
        settings(blobs="s3://bucket", s3_access_key_id="key")


def test_a_secret_key_is_not_shown() -> None:
    told = settings(blobs="s3://b", s3_access_key_id="key", s3_secret_access_key="hidden")
    assert "hidden" not in repr(told)


@pytest.mark.parametrize("endpoint", ["minio:9000", "ftp://minio", "http://minio/path"])
def test_an_endpoint_is_a_host(endpoint: str) -> None:
    with pytest.raises(ValidationError):
        settings(blobs="s3://bucket", s3_endpoint=endpoint)


def test_a_folder_is_made(tmp_path: Path) -> None:
    place = opening.place_of(settings(blobs=tmp_path / "blobs"), lambda *_: None)
    assert place.root == tmp_path / "blobs"
    assert place.root.is_dir()


def test_the_style_of_addresses_is_chosen() -> None:
    there = {"blobs": "s3://bucket/some/prefix", "s3_endpoint": "https://s3.example.org"}
    path = opening._config(settings(**there), "bucket")
    host = opening._config(settings(**there, s3_virtual_hosted=True), "bucket")
    assert path["endpoint"] == "https://s3.example.org"
    assert host["endpoint"] == "https://bucket.s3.example.org"
    assert (path["virtual_hosted_style_request"], host["virtual_hosted_style_request"]) == (
        False,
        True,
    )


def test_plain_http_is_spoken_only_where_the_endpoint_says_so() -> None:
    for scheme in ("http", "https"):
        told = settings(blobs="s3://bucket", s3_endpoint=f"{scheme}://127.0.0.1:9000")
        assert opening._client(told)["allow_http"] is (scheme == "http")
    assert "allow_http" not in opening._client(settings(blobs="s3://bucket"))


def test_without_a_key_the_usual_chain_of_aws_is_asked() -> None:
    config = opening._config(settings(blobs="s3://bucket"), "bucket")
    assert not {"access_key_id", "secret_access_key", "endpoint", "region"} & config.keys()
