"""Requests to addresses that clients name: only to public ones, never along redirects, never through a proxy."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import Any

import httpcore

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class BlockedAddressError(Exception):
    """A name leads to an address that is not public."""


def is_public(address: Address) -> bool:
    """Whether an address is of the public internet, and so are the IPv4 addresses that some IPv6 ones stand for."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if not all(is_public(each) for each in inner if each is not None):
            return False
    return address.is_global and not address.is_multicast


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the very address that was looked up and checked: a name cannot change its mind in between."""

    def __init__(self) -> None:
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a name all of whose addresses are public. Raises BlockedAddressError."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} is not known: {error}") from error
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            if not is_public(ipaddress.ip_address(address.partition("%")[0])):
                raise BlockedAddressError(f"{host} is at {address}, which is not a public address")
        return await self._network.connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        """Wait, as the pool asks for."""
        await self._network.sleep(seconds)


class Poster:
    """Posts bodies and says what status came; answers' bodies are not read."""

    def __init__(self, *, private: bool, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=100,
            keepalive_expiry=5,
            network_backend=None if private else PublicNetwork(),
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status of the answer. Raises TimeoutError, BlockedAddressError, OSError or httpcore's errors."""
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s)
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
