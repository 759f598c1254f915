"""Fetching of files: how, from whom, for how long, and what it leaves behind."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from jobs.problems import ProblemError, ProblemType
from service.outbound import fetching
from service.outbound.fetching import Fetcher
from tests.service.outbound.conftest import HOST, INSIDE, LIMIT, Fetch, whole
from tests.support.processes import PATIENCE_S
from tests.support.raw_servers import RawServer, Script, redirects, repeats, says, serving

OK = b"HTTP/1.1 200 OK\r\n"
LEADS_INSIDE = "it leads to an address that is not public"


@pytest.mark.parametrize(
    ("answer", "then"),
    [
        (b"Content-Length: 5\r\n\r\nbytes", "wait"),
        (b"Content-Length: 5\r\n\r\nbytes", "close"),
        (b"Content-Length: 5, 5\r\nContent-Encoding: identity\r\n\r\nbytes and what is not told of", "wait"),
        (b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nbyt\r\n002\r\nes\r\n0\r\nA: b\r\n\r\n", "wait"),
        (b"\r\nbytes", "close"),
    ],
)
def test_a_file_comes_as_it_is(fetch: Fetch, answer: bytes, then: str) -> None:
    assert fetch(says(OK + answer, then=then)) == b"bytes"


def test_nothing_is_said_of_who_asks(fetch: Fetch) -> None:
    script = says(OK + b"Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
    fetch(script, path="/a;b//c?d=e&f=%20")
    assert fetch.server.requests[0].decode().splitlines() == [
        "GET /a;b//c?d=e&f=%20 HTTP/1.1", f"Host: {HOST}:{fetch.server.port}",
        f"User-Agent: {fetching.HEADERS['User-Agent']}", "Accept: */*", "Accept-Encoding: identity",
        "Connection: close", "",
    ]  # fmt: skip


def test_as_many_redirects_as_may_be_are_followed(fetch: Fetch) -> None:
    steps = [
        redirects(b"/a", status=301),
        redirects(b"b?c=d", status=302),
        redirects(b"?e=f", status=303),
        redirects(b"//photos.example:%d/g", status=307),
        redirects(b"https://photos.example:%d/h", status=308),
        says(OK + b"Content-Length: 1\r\n\r\na"),
    ]
    asked: list[bytes] = []
    connections: list[asyncio.StreamWriter] = []

    async def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        for connection in connections:  # none is held on the way
            await connection.wait_closed()
        asked.append(request.split()[1])
        connections.append(writer)
        await steps[len(asked) - 1](request, writer)

    assert fetch(script) == b"a"
    assert asked == [b"/me.jpg", b"/a", b"/b?c=d", b"/b?e=f", b"/g", b"/h"]


def test_the_sixth_redirect_is_one_too_many(fetch: Fetch) -> None:
    fetch.refused(redirects(b"/me.jpg"), ProblemType.FETCH_FAILED, "it is redirected more than 5 times")
    assert len(fetch.server.requests) == 6


@pytest.mark.parametrize("addresses", [[INSIDE], ["127.0.0.1", INSIDE], [INSIDE, "127.0.0.1"], ["::1"]])
def test_a_name_that_leads_inside_is_refused_whoever_listens_there(fetch: Fetch, addresses: list[str]) -> None:
    fetch.names[HOST] = [addresses]
    problem = fetch.refused(says(OK + b"Content-Length: 1\r\n\r\na"), ProblemType.INVALID_ADDRESS, LEADS_INSIDE)
    assert "::1" not in str(problem.problem)


def test_a_name_that_changes_its_mind_is_looked_up_once_a_connection(fetch: Fetch) -> None:
    fetch.names[HOST] = [["127.0.0.1"], [INSIDE]]
    assert fetch(says(OK + b"Content-Length: 1\r\n\r\na")) == b"a"
    assert fetch.names[HOST] == [[INSIDE]]
    fetch.names[HOST] = [["127.0.0.1"], [INSIDE]]
    fetch.refused(redirects(b"/a"), ProblemType.INVALID_ADDRESS, LEADS_INSIDE)  # the next connection, checked again


@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        ({"trusted": False}, "its certificate is not valid ("),
        ({"name": "others.example"}, "certificate is not valid for 'photos.example'"),
        ({"days": 0}, "its certificate is not valid (certificate has expired)"),
    ],
)
def test_a_certificate_that_is_not_the_hosts_is_refused(
    fetch: Fetch, certified: Callable[..., ssl.SSLContext], certificate: dict[str, str | int], why: str
) -> None:
    fetch.tls = certified(**certificate)
    fetch.refused(says(OK + b"\r\n"), ProblemType.FETCH_FAILED, why)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (says(), "it was not done after 0.3 s"),
        (says(OK + b"\r\n"), "its host does not speak TLS as it has to"),
        (says(then="close"), "no connection came about"),
        (says(then="reset"), "no connection came about"),
    ],
)
def test_there_is_no_way_around_tls(fetch: Fetch, script: Script, why: str) -> None:
    fetch.tls, fetch.rash = None, True
    fetch.refused(script, ProblemType.FETCH_FAILED, why, timeout_s=0.3 if "0.3" in why else PATIENCE_S)


def test_a_connection_has_a_time_of_its_own(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "CONNECT_S", 0.2)
    fetch.tls, fetch.rash = None, True
    fetch.refused(says(), ProblemType.FETCH_FAILED, "no connection came about within 5 s")


def test_an_answer_may_come_before_the_question(fetch: Fetch) -> None:
    fetch.rash = True
    assert fetch(says(OK + b"Content-Length: 1\r\n\r\na")) == b"a"


TROUBLES = [OSError("disk full"), TimeoutError("another's"), ProblemError(ProblemType.STORAGE_FULL, "disk full")]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_callers_own_trouble_stays_its_own(fetch: Fetch, trouble: Exception) -> None:
    async def use(chunks: AsyncIterator[bytes]) -> bytes:
        await anext(chunks)
        raise trouble

    with pytest.raises(type(trouble)) as raised:
        fetch(repeats(OK + b"\r\n", b"a"), use=use)
    assert raised.value is trouble


def test_the_time_is_for_what_the_caller_does_too(fetch: Fetch) -> None:
    async def use(chunks: AsyncIterator[bytes]) -> bytes:
        await asyncio.sleep(PATIENCE_S)
        return b""

    with pytest.raises(ProblemError, match=r"not done after 0\.3 s"):
        fetch(says(OK + b"Content-Length: 1\r\n\r\na"), use=use, timeout_s=0.3)


def test_a_caller_may_leave_at_any_time(fetch: Fetch) -> None:
    async def use(chunks: AsyncIterator[bytes]) -> bytes:
        return await anext(chunks)

    assert fetch(repeats(OK + b"\r\n", b"a", 0.01), use=use)[:1] == b"a"


@pytest.mark.parametrize("heard", [b"", OK, OK + b"\r\na"])
def test_nothing_stays_open_of_a_caller_who_went_away(fetch: Fetch, heard: bytes) -> None:
    """During the handshake, where nothing was heard yet, before the answer or in its midst."""

    async def run() -> None:
        tls = fetch.tls if heard else None
        async with fetch.clean(), serving(says(heard), tls, rash=not heard) as server:
            task = asyncio.create_task(fetch.fetched(server, PATIENCE_S))
            await server.asked()
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())


def test_hosts_that_hang_hold_no_others() -> None:
    """Of each a share is asked at once and of all a number, and what waited goes on when they are given up."""

    async def run() -> None:
        fetcher = Fetcher(private=True, timeout_s=PATIENCE_S)

        async def fetch(server: RawServer, host: str) -> bytes:
            async with fetcher.open("audio", f"http://{host}:{server.port}/", limit=LIMIT) as chunks:
                return await whole(chunks)

        async with AsyncExitStack() as stack:
            hosts = [f"127.0.0.{number}" for number in range(2, 10)]
            hanging = [await stack.enter_async_context(serving(says(), None, host=host)) for host in hosts]
            good = await stack.enter_async_context(serving(says(OK + b"Content-Length: 1\r\n\r\na"), None))
            tasks = [asyncio.create_task(fetch(hanging[0], hosts[0])) for _ in range(200)]
            await hanging[0].asked(fetching.HOST_AT_ONCE)
            assert await fetch(good, "127.0.0.1") == b"a"
            tasks += [
                asyncio.create_task(fetch(*each))
                for each in zip(hanging[1:], hosts[1:], strict=True)
                for _ in range(14)
            ]
            for server in hanging[1:-1]:
                await server.asked(14)  # and with those of the first these are all there may be
            last = asyncio.create_task(fetch(good, "127.0.0.1"))
            await asyncio.sleep(0.1)
            assert [len(server.requests) for server in (good, *hanging)] == [1, 16, 14, 14, 14, 14, 14, 14, 0]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert await last == b"a"

    asyncio.run(run())
