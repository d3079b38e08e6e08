"""Where webhooks may lead."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest

from recountdb.api.background.webhook_addresses import (
    AddressRefused,
    checked_url,
    is_public,
    refuse_private,
    resolved,
)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "https://example.org:8443/hook?a=b",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "http://127.0.0.1:9000/",
        "http://127.9.9.9/",
        "http://localhost:9000/x",
        "http://[::1]:9000/x",
    ],
)
def test_addresses_that_can_be(url: str) -> None:
    assert checked_url(url).geturl() == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "printable"),
        ("https://example.org/ x", "printable"),
        ("https://example.org/\n", "printable"),
        ("https://exämple.org/", "printable"),
        ("https://example.org/" + "x" * 2000, "printable"),
        ("example.org", "like https://example.org/hook"),
        ("//example.org", "like https://example.org/hook"),
        ("https://", "like https://example.org/hook"),
        ("https:///hook", "like https://example.org/hook"),
        ("https://example.org:x/", "like https://example.org/hook"),
        ("https://example.org:99999/", "like https://example.org/hook"),
        ("https://[::1/", "like https://example.org/hook"),
        ("ftp://example.org/", "like https://example.org/hook"),
        ("file:///etc/passwd", "like https://example.org/hook"),
        ("https://ana:secret@example.org/", "user name"),
        ("https://example.org/#part", "fragment"),
        ("http://example.org/", "must begin with https://"),
        ("http://10.0.0.1/", "must begin with https://"),
        ("http://localhost.example.org/", "must begin with https://"),
    ],
)
def test_addresses_that_cannot_be(url: str, reason: str) -> None:
    with pytest.raises(AddressRefused, match=reason) as refused:
        checked_url(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "192.0.2.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:0a00:0001::1"),
    ],
)
def test_addresses_within_a_network(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(AddressRefused, match="RECOUNT_WEBHOOKS_ALLOW_PRIVATE"):
        refuse_private(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_addresses_of_the_internet(address: str) -> None:
    assert is_public(ip_address(address))
    refuse_private(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "[::1]", "localhost"])
def test_however_it_is_written_it_is_what_it_leads_to_that_counts(host: str) -> None:
    with pytest.raises(AddressRefused, match="private network"):
        resolved(urlsplit(f"https://{host}/"), allow_private=False)


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("https://127.0.0.1:8443/", ("127.0.0.1", 8443)),
        ("http://127.0.0.1/", ("127.0.0.1", 80)),
        ("https://127.0.0.1/", ("127.0.0.1", 443)),
    ],
)
def test_with_leave_it_leads_home(url: str, where: tuple[str, int]) -> None:
    assert resolved(urlsplit(url), allow_private=True) == (socket.AF_INET, where)
