from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Servers, settings_for
from tests.service.serving import Running, digits_and_candidate


@pytest.fixture(scope="module")
def api(
    _migrated: None, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    with digits_and_candidate(settings_for(servers, tmp_path_factory.mktemp("oip"))) as api:
        yield api
