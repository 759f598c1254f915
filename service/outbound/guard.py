"""Which addresses we go to, and connections that lead nowhere else."""

import asyncio
import contextlib
import functools
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpcore
from anyio import CancelScope

from service.settings import HOST_NAME

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

ALLOWED = {False: "an https URL of a public address", True: "an http or https URL"}  # as private ones are not, or are

CONNECT_S = 5.0  # look-up and TLS included
# An answer may be of tiny pieces, such as chunks of one byte: others have their turn after those of one read
READ_BYTES = 8 * 1024
NUMBER = re.compile("[0-9]+|0x[0-9a-f]*")


class BlockedAddressError(Exception):
    """A name leads to an address that is not public."""


class UnknownHostError(httpcore.ConnectError):
    """A name that no address is known of."""


def is_public(address: Address) -> bool:
    """Whether an address is of the public internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in SPECIAL_IPV4)
    if address in NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address in GLOBAL_IPV6 and not any(address in network for network in SPECIAL_IPV6)


def checked_parts(address: str, *, private: bool) -> SplitResult:
    """The parts of an address that we may go to; its name is looked up and checked only when we do.

    `private`: plain HTTP and private addresses are allowed. Raises ValueError: why we may not.
    """
    if not all("!" <= character <= "~" and character != "\\" for character in address):
        raise ValueError("it needs printable ASCII alone, without spaces and backslashes")
    parts = urlsplit(address)
    host, port = parts.hostname, parts.port
    if parts.scheme not in (("https", "http") if private else ("https",)):
        raise ValueError(f"its scheme is {parts.scheme[:100]!r}")
    if not host or parts.username is not None:
        raise ValueError("it needs a host and no user")
    if port == 0:
        raise ValueError("there is no port 0")
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        if not _can_be_looked_up(host):
            raise ValueError(f"{host[:100]!r} cannot be a host's name") from None
    else:
        if not private and not is_public(literal):
            raise ValueError(f"{host} is not a public address")
    return parts


def _can_be_looked_up(host: str) -> bool:
    """Whether a host is a name. What ends in a number would be an address that is written oddly: 127.1, 0x7f000001."""
    try:
        host.encode("idna")  # labels may be too long
    except UnicodeError:
        return False
    return HOST_NAME.fullmatch(host) is not None and not NUMBER.fullmatch(host.rpartition(".")[2])


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
        async with asyncio.timeout(timeout) as bound:
            addresses = await _look_up(host, port)
            for address in addresses:
                if not self._private and not is_public(ipaddress.ip_address(address.partition("%")[0])):
                    raise BlockedAddressError(f"{host} is at {address}, which is not a public address")
            share = timeout and timeout / len(addresses)
            for address in addresses[:-1]:
                with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                    stream = await self._network.connect_tcp(address, port, share, local_address, socket_options)
                    return _Stream(stream, bound.when())
            stream = await self._network.connect_tcp(addresses[-1], port, share, local_address, socket_options)
            return _Stream(stream, bound.when())

    async def sleep(self, seconds: float) -> None:
        """Wait, as the pool asks for."""
        await self._network.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    """A connection that is closed when TLS has not come about by `deadline`, or is no longer waited for."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, deadline: float | None) -> None:
        self._stream = stream
        self._deadline = deadline

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """The next bytes, after others had their turn."""
        await asyncio.sleep(0)
        return await self._stream.read(min(max_bytes, READ_BYTES), timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send bytes."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        """Go on encrypted. Raises TimeoutError and httpcore's errors."""
        try:
            async with asyncio.timeout_at(self._deadline):
                return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout), None)
        except BaseException:
            with CancelScope(shield=True):  # httpcore forgets it when it is cancelled
                await self.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        """What is known of the connection."""
        return self._stream.get_extra_info(info)


async def _look_up(host: str, port: int) -> list[str]:
    """The addresses of a name, at least one. Raises UnknownHostError.

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
            tell(found.set_exception, UnknownHostError(f"{host} is not known: {error}"))
        else:
            tell(found.set_result, [str(entry[4][0]) for entry in entries])

    threading.Thread(target=run, name="look-up", daemon=True).start()
    return await found


@functools.cache
def trusted() -> ssl.SSLContext:
    """Whose certificates we believe: those that the system does, which are read once."""
    return ssl.create_default_context()


def guarded_pool(*, private: bool) -> httpcore.AsyncConnectionPool:
    """Connections to public addresses, or to private ones too; how many there are at once is for others to bound."""
    return httpcore.AsyncConnectionPool(
        ssl_context=trusted(),
        max_connections=None,
        keepalive_expiry=5,
        network_backend=GuardedNetwork(private=private),
    )
