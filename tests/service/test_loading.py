"""What may be loaded into the memory of the API."""

from __future__ import annotations

import pytest

from lure_core.errors import ConfigError
from service.loading import load
from store.blobs import Blobs
from store.engine import Database
from tests.service.serving import digits_stream, learned


def test_a_model_of_ones_own_is_loaded_only_from_the_packages_that_are_allowed(
    database: Database, blobs: Blobs
) -> None:
    stream = digits_stream(database)
    version = learned(database, blobs, stream, architecture="lure_core.models.mlp:mlp")
    assert load(blobs, "digits", version, ["lure_core"]).version == 1
    with pytest.raises(ConfigError, match="not allowed here"):
        load(blobs, "digits", version, ())
