from __future__ import annotations

import ipaddress

import pytest

from store.outside import BadUrl, check_url, is_public


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1"),
        *("::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("fec0::1", "192.88.99.1", "::ffff:192.88.99.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:c0a8:1::"),
    ],
)
def test_what_is_special_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_what_is_anywhere_else_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.org/", "file:///etc/passwd", "example.org", "https://", "http://:80/"),
        *("http://user:pw@example.org/", "http://example.org:99999/", "http://example.org:0/"),
        *("http://127.0.0.1/", "http://[::1]/", "http://localhost:9/", "http://a.localhost/"),
        *("http://169.254.169.254/latest", "http://[::ffff:10.0.0.1]/", "http://exa mple.org/"),
        *(
            "http://example.org/\r\nx",
            "http://bücher.example/",
            "https://example.org/" + "x" * 2048,
        ),
    ],
)
def test_an_address_that_must_not_be_called_is_refused(url: str) -> None:
    with pytest.raises(BadUrl):
        check_url(url, private=False)


@pytest.mark.parametrize(
    "url", ["https://example.org", "http://example.org:8080/a?b=c", "https://93.184.216.34/x"]
)
def test_others_are_not(url: str) -> None:
    check_url(url, private=False)


def test_private_ones_may_be_called_where_that_is_allowed() -> None:
    check_url("http://127.0.0.1:9000/hook", private=True)
    with pytest.raises(BadUrl):
        check_url("file:///etc/passwd", private=True)
