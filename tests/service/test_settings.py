from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.settings import ServiceSettings
from store.settings import StoreSettings
from tests.service.serving import service_settings


def proxies(settings: StoreSettings, told: str) -> ServiceSettings:
    return service_settings(settings, trusted_proxies=told)


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("", ""),
        (" ", ""),
        ("10.0.0.5", "10.0.0.5"),
        ("10.0.0.5, 172.18.0.0/16,fd00::/8", "10.0.0.5,172.18.0.0/16,fd00::/8"),
    ],
)
def test_proxies_are_addresses_or_networks(settings: StoreSettings, told: str, meant: str) -> None:
    assert proxies(settings, told).trusted_proxies == meant


@pytest.mark.parametrize(
    "told", ["*", "proxy", "10.0.0.5,*", "10.0.0.5,", "10.0.0.1/16", "0.0.0.0/0", "::/0", "10.0.0"]
)
def test_everybody_and_what_is_misspelt_is_no_proxy(settings: StoreSettings, told: str) -> None:
    with pytest.raises(ValidationError, match="trusted_proxies"):
        proxies(settings, told)
