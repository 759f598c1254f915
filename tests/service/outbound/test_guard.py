"""Connections to names that lead astray, and the addresses that are nobody's."""

import asyncio
import ipaddress
import ssl

import pytest

from service.outbound.guard import BlockedAddressError, GuardedNetwork, UnknownHostError, is_public
from service.outbound.posting import Poster
from tests.service.outbound.conftest import HOST
from tests.support.raw_servers import open_sockets, says, serving

Names = dict[str, list[list[str]]]

PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "93.184.215.14", "172.15.0.1", "172.32.0.1", "192.0.1.1", "198.17.0.1", "223.255.255.255"),
    *("2606:2800:21f:cb07:6820:80da:af6b:8b2c", "2001:4860:4860::8888", "2a00::1", "64:ff9b::808:808"),
]
NOT_PUBLIC = [
    *("0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1", "169.254.169.254"),
    *("172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.9", "192.0.0.192", "192.0.2.1", "192.31.196.1"),
    *("192.52.193.1", "192.88.99.1", "192.168.0.1", "192.175.48.1", "198.18.0.1", "198.19.255.255", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1"),
    *("64:ff9b::a00:1", "64:ff9b:1::1", "64:ff9b:1::808:808", "100::1", "100:0:0:1::1", "2001::1", "2001:1::1"),
    *("2001:2::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "2620:4f:8000::1", "3fff::1"),
    *("3fff:fff::1", "4000::1", "5f00::1", "fc00::1", "fd00::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1"),
]


def test_which_addresses_are_public() -> None:
    assert [each for each in PUBLIC + NOT_PUBLIC if is_public(ipaddress.ip_address(each))] == PUBLIC


def connect(host: str, *, private: bool = False) -> list[bytes]:
    """Ask a server of this machine, by a name, for its answer; what it was asked."""

    async def run() -> list[bytes]:
        async with serving(says(b"HTTP/1.1 204 Nothing\r\n\r\n"), None) as server:
            stream = await GuardedNetwork(private=private).connect_tcp(host, server.port, timeout=5)
            await stream.write(b"GET / HTTP/1.1\r\n\r\n")
            await stream.read(100)
            await stream.aclose()
        return server.requests

    return asyncio.run(run())


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "017700000001", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.1", "0"],
)
def test_however_it_is_written_this_machine_is_private(host: str) -> None:
    with pytest.raises(BlockedAddressError, match="which is not a public address"):
        connect(host)


def test_private_addresses_can_be_allowed() -> None:
    assert len(connect("127.0.0.1", private=True)) == 1


@pytest.mark.parametrize("addresses", [["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["127.0.0.1", "::1"]])
@pytest.mark.usefixtures("public_loopback")
def test_one_private_address_of_a_name_is_one_too_many(names: Names, addresses: list[str]) -> None:
    names[HOST] = [addresses]
    with pytest.raises(BlockedAddressError, match=r"photos\.example is at .*, which is not a public address"):
        connect(HOST)


@pytest.mark.usefixtures("public_loopback")
def test_a_name_that_changes_its_mind_is_looked_up_once(names: Names) -> None:
    names[HOST] = [["127.0.0.1"], ["10.0.0.1"]]
    assert len(connect(HOST)) == 1
    assert names[HOST] == [["10.0.0.1"]]
    with pytest.raises(BlockedAddressError):
        connect(HOST)


@pytest.mark.usefixtures("public_loopback")
def test_the_next_address_is_tried_where_one_does_not_answer(names: Names) -> None:
    names[HOST] = [["127.0.0.2", "127.0.0.1"]]  # nobody listens at the first
    assert len(connect(HOST)) == 1


def test_a_name_that_nobody_knows(names: Names) -> None:
    names[HOST] = []
    with pytest.raises(UnknownHostError, match=r"photos\.example is not known"):
        connect(HOST)


@pytest.mark.parametrize("given_up", [False, True])
def test_a_handshake_that_does_not_come_about_leaves_nothing_open(given_up: bool) -> None:
    """It has what is left of the time to connect, and is closed as well when nobody waits for it any more."""

    async def run() -> None:
        async with serving(says(), None) as server:
            stream = await GuardedNetwork(private=True).connect_tcp("127.0.0.1", server.port, 9 if given_up else 0.2)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2 if given_up else 9) as wait:
                    await stream.start_tls(ssl.create_default_context(), "127.0.0.1")
            assert wait.expired() == given_up

    before = open_sockets()
    asyncio.run(run())
    assert open_sockets() == before


def test_messages_are_guarded() -> None:
    async def post(*, private: bool) -> int:
        poster = Poster(private=private, timeout_s=5)
        async with serving(says(b"HTTP/1.1 204 Nothing\r\n\r\n"), None) as server:
            try:
                return await poster.post(f"http://127.0.0.1:{server.port}/hook", {}, b"{}")
            finally:
                await poster.close()

    with pytest.raises(BlockedAddressError, match=r"127\.0\.0\.1, which is not a public address"):
        asyncio.run(post(private=False))
    assert asyncio.run(post(private=True)) == 204
