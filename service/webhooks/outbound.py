"""Requests to addresses that clients name: only to public ones, never along redirects, never through a proxy."""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpcore

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# What is not the public internet's, by IANA's registries of special-purpose addresses (RFC 6890); networks in them that
# can be reached from everywhere, such as those of AS112, serve nobody's clients and are left out as well.
SPECIAL_IPV4 = [
    ipaddress.IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        "224.0.0.0/3",  # multicast, and what is reserved
    )
]
GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")  # all that is given out
SPECIAL_IPV6 = [
    ipaddress.IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
]
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # an IPv4 address behind it

CONNECT_S = 5.0


class BlockedAddressError(Exception):
    """A name leads to an address that is not public."""


def is_public(address: Address) -> bool:
    """Whether an address is of the public internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in SPECIAL_IPV4)
    if address in NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address in GLOBAL_IPV6 and not any(address in network for network in SPECIAL_IPV6)


def can_be_looked_up(host: str) -> bool:
    """Whether a host is a name that can be asked for at all, or an address."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the very address that was looked up and checked: a name cannot change its mind in between."""

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first that answers of a name's addresses, all of which are public unless private ones are
        allowed; `timeout` is for all of it. Raises BlockedAddressError, TimeoutError and httpcore's errors."""
        async with asyncio.timeout(timeout):
            addresses = await _look_up(host, port)
            for address in addresses:
                if not self._private and not is_public(ipaddress.ip_address(address.partition("%")[0])):
                    raise BlockedAddressError(f"{host} is at {address}, which is not a public address")
            share = timeout and timeout / len(addresses)
            for address in addresses[:-1]:
                with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                    return await self._network.connect_tcp(address, port, share, local_address, socket_options)
            return await self._network.connect_tcp(addresses[-1], port, share, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        """Wait, as the pool asks for."""
        await self._network.sleep(seconds)


async def _look_up(host: str, port: int) -> list[str]:
    """The addresses of a name, at least one. Raises httpcore.ConnectError.

    Each time in a thread of its own: a name server that keeps us waiting holds nobody else's, nor our end.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[str]] = loop.create_future()

    def tell(what: Callable[[Any], None], value: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(lambda: None if found.done() else what(value))

    def run() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # the latter where no name can be such
            tell(found.set_exception, httpcore.ConnectError(f"{host} is not known: {error}"))
        else:
            tell(found.set_result, [str(entry[4][0]) for entry in entries])

    threading.Thread(target=run, name="look-up", daemon=True).start()
    return await found


class Poster:
    """Posts bodies and says what status came; answers' bodies are not read. `private`: to private addresses too."""

    def __init__(self, *, private: bool, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=None,  # as many as are posted to at once
            keepalive_expiry=5,
            network_backend=GuardedNetwork(private=private),
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status of the answer. Raises TimeoutError, BlockedAddressError, OSError or httpcore's errors."""
        limits = {**dict.fromkeys(("read", "write"), self._timeout_s), "connect": min(CONNECT_S, self._timeout_s)}
        async with (
            asyncio.timeout(self._timeout_s),
            self._pool.stream(
                "POST", url, headers=list(headers.items()), content=body, extensions={"timeout": limits}
            ) as got,
        ):
            return int(got.status)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()
