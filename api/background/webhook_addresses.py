"""Checks of webhook addresses: none may lead into the server's own network, unless that is allowed.

Otherwise anyone with a key could make the server send requests to hosts that only it can reach. A name
may lead elsewhere at any time, so each delivery looks it up once and connects to exactly that address.
"""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from recountdb.domain.errors import InvalidInput, RecountError

PLAIN = re.compile(r"[\x21-\x7e]{1,2000}")
NAT64 = IPv6Network("64:ff9b::/96")  # IPv4 addresses in the form of a translating network
PORTS = {"https": 443, "http": 80}


class AddressRefused(RecountError):
    """The address may not be used. The text is a clause that says why."""


def checked_url(url: str) -> SplitResult:
    """Return the parts of ``url``. Raises AddressRefused for what is wrong without looking the name up."""
    if not PLAIN.fullmatch(url):
        raise AddressRefused("must be an address of 1 to 2000 printable ASCII characters, without spaces")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises when it is not a port
    except ValueError:
        raise AddressRefused("must be an address like https://example.org/hook") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise AddressRefused("must be an address like https://example.org/hook")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise AddressRefused("must not have a user name, a password or a fragment in it")
    if parts.scheme == "http" and not _leads_home(parts.hostname):
        raise AddressRefused("must begin with https://; http:// is for this machine only (127.0.0.1)")
    return parts


def checked_webhook_url(url: str, *, allow_private: bool) -> str:
    """Return ``url`` if a webhook may have it. Raises InvalidInput."""
    try:
        parts = checked_url(url)
        if not allow_private:
            refuse_private(parts.hostname or "")
    except AddressRefused as refused:
        raise InvalidInput("url", str(refused)) from None
    return url


def _leads_home(host: str) -> bool:
    """Return whether ``host`` is a loopback address or ``localhost``."""
    if host == "localhost":
        return True
    address = _literal(host)
    return address is not None and address.is_loopback


def refuse_private(host: str) -> None:
    """Raise AddressRefused for an address that is not public. A name other than localhost passes."""
    address = _literal(host)
    if host == "localhost" or (address is not None and not is_public(address)):
        raise AddressRefused(
            "leads into a private network: set RECOUNT_WEBHOOKS_ALLOW_PRIVATE=true on the"
            " server if it may send there"
        )


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """Return ``host`` as an address, or None if it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether the address can be reached from anywhere on the internet."""
    if isinstance(address, IPv6Address):
        within = address.ipv4_mapped or address.sixtofour
        if within is not None:
            return is_public(within)
        if address in NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast


def resolved(parts: SplitResult, *, allow_private: bool) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """Return the family and the address of the socket to connect to, as getaddrinfo gives them.

    Raises AddressRefused, and OSError for an unknown name.
    """
    assert parts.hostname is not None
    port = PORTS[parts.scheme] if parts.port is None else parts.port
    family, _, _, _, address = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)[0]
    if not allow_private:
        refuse_private(str(address[0]))
    return family, address
