"""Worlds for the acceptance tests; starting processes is dear, so a module shares its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance.world import World
from tests.conftest import Servers


@pytest.fixture(scope="module")
def new_world(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., World]]:
    """Make worlds that end with the module."""
    made: list[World] = []

    def make(**settings: Any) -> World:
        made.append(World(servers.postgres, tmp_path_factory.mktemp("acceptance"), **settings))
        return made[-1]

    yield make
    for world in made:
        world.close()
