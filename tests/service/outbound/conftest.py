"""A host on this machine that counts as public, with a certificate, and names that lead where a test says."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobs.problems import ProblemError, ProblemType
from service.outbound import guard
from service.outbound.fetching import Fetcher
from tests.support.certificates import make_chain
from tests.support.processes import PATIENCE_S
from tests.support.raw_servers import RawServer, Script, open_sockets, serving

HOST = "photos.example"
INSIDE = "10.11.12.13"  # what names of the inner network lead to
LIMIT = 1000
Names = dict[str, list[list[str]]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Names, each with the addresses that its look-ups find in turn; what is left in it was not asked for."""
    answers: Names = {}
    real = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **keywords: Any) -> list[Any]:
        if host not in answers:
            return real(host, *rest, **keywords)
        if not answers[host]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [entry for address in answers[host].pop(0) for entry in real(address, *rest, **keywords)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return answers


@pytest.fixture
def public_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count 127.0.0.0/8 as public, so that what is done with public addresses alone can be tried."""
    loopback = ipaddress.IPv4Network("127.0.0.0/8")
    monkeypatch.setattr(guard, "SPECIAL_IPV4", [network for network in guard.SPECIAL_IPV4 if network != loopback])


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ssl.SSLContext]]:
    """Makes TLS of servers, with authorities that this process trusts unless told otherwise."""

    def make(name: str = HOST, *, days: int = 30, trusted: bool = True) -> ssl.SSLContext:
        chain = make_chain(days, server=name)
        settings = chain.write(tmp_path)
        authority = tmp_path / "authority.pem"
        authority.write_bytes((chain if trusted else make_chain()).authority)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        guard.trusted.cache_clear()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings["PIRENDERER_C2PA_CERTIFICATE"], settings["PIRENDERER_C2PA_KEY"])
        return context

    yield make
    guard.trusted.cache_clear()


Use = Callable[[AsyncIterator[bytes]], Awaitable[bytes]]


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


@dataclass
class Fetch:
    """Fetches `portrait` from a server that follows a script, and looks whether anything is left of it."""

    tls: ssl.SSLContext | None
    names: Names
    rash: bool = False
    limit: int = LIMIT
    server: RawServer = field(default_factory=RawServer)  # the last one

    def __call__(
        self, script: Script, *, timeout_s: float = PATIENCE_S, path: str = "/me.jpg", use: Use = whole
    ) -> bytes:
        async def run() -> bytes:
            async with self.clean(), serving(script, self.tls, rash=self.rash) as self.server:
                return await self.fetched(self.server, timeout_s, path, use)

        return asyncio.run(run())

    def refused(
        self, script: Script, problem_type: ProblemType, why: str, *, timeout_s: float = PATIENCE_S
    ) -> ProblemError:
        with pytest.raises(ProblemError) as refusal:
            self(script, timeout_s=timeout_s)
        problem = refusal.value
        assert (problem.problem_type, why in problem.detail) == (problem_type, True), problem.detail
        assert problem.detail.startswith("portrait ")
        assert f"'https://{HOST}:{self.server.port}/me.jpg'" in problem.detail
        assert INSIDE not in str(problem.problem)
        return problem

    async def fetched(self, server: RawServer, timeout_s: float, path: str = "/", use: Use = whole) -> bytes:
        fetcher = Fetcher(private=False, timeout_s=timeout_s)
        async with fetcher.open("portrait", f"https://{HOST}:{server.port}{path}", limit=self.limit) as chunks:
            return await use(chunks)

    @asynccontextmanager
    async def clean(self) -> AsyncIterator[None]:
        """Neither tasks nor sockets stay, although nobody closes the fetcher."""
        self.names.setdefault(HOST, [["127.0.0.1"]] * 10)
        before = open_sockets()
        try:
            yield
        finally:
            for _ in range(20):  # what is closed goes in the loop's next turns; httpcore leaves some to the collector
                await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert set(open_sockets()) <= set(before)


@pytest.fixture
def fetch(certified: Callable[..., ssl.SSLContext], names: Names, public_loopback: None) -> Fetch:
    return Fetch(certified(), names)
