"""Inputs that are fetched from addresses which clients name."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urljoin
from weakref import WeakValueDictionary

import httpcore
import structlog

from jobs.problems import ProblemError, ProblemType
from service.outbound.guard import ALLOWED, CONNECT_S, BlockedAddressError, checked_parts, guarded_pool
from service.outbound.reasons import reason
from service.version import package_version

log = structlog.get_logger(__name__)

NO_CONNECTION = f"no connection came about within {CONNECT_S:g} s"  # all else is under the time for the whole
MAX_ADDRESS = 2048  # characters
MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)

# Under way at once: of all, and from one host. Who waits for a host that hangs takes no room of others'; how much one
# owner fetches at once is bounded by the forms that they may send at once.
AT_ONCE = 100
HOST_AT_ONCE = 16

# Each piece of a body costs the same, however small it is. A thousand may be small; then their mean counts.
FREE_PIECES = 1000
PIECE_BYTES = 64

HEADERS = {
    "User-Agent": f"PIRenderer/{package_version()}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    # an input is fetched once; what a server sent unasked would wait on a kept connection for another caller
    "Connection": "close",
}


class Fetcher:
    """Fetches files by HTTPS from public addresses; `private`: by plain HTTP and from private addresses, too.

    `timeout_s` is for a whole file, the wait for room, redirects and what the caller does meanwhile included.
    """

    def __init__(self, *, private: bool, timeout_s: float) -> None:
        self._private = private
        self._timeout_s = timeout_s
        self._pool = guarded_pool(private=private)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._hosts: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()  # of hosts that are in use

    @asynccontextmanager
    async def open(self, name: str, address: str, *, limit: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes at an address, of which there may be `limit`, for the input `name`; redirects are followed.

        Raises ProblemError, as the chunks do: INVALID_ADDRESS, FETCH_FAILED or TOO_LARGE.
        """
        source = _Source(name, address, self._private)
        try:
            async with asyncio.timeout(self._timeout_s) as time, AsyncExitStack() as stack:
                answer = await self._answer(source, stack)
                _check(source, answer, limit)
                yield await stack.enter_async_context(aclosing(_chunks(source, answer, limit)))
        except TimeoutError as error:
            if not time.expired():  # the caller's own
                raise
            raise source.failed(f"it was not done after {self._timeout_s:g} s", allowed=self._timeout_s) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def _answer(self, source: "_Source", stack: AsyncExitStack) -> httpcore.Response:
        """The answer that redirects lead to, open until the stack is closed. Raises ProblemError."""
        address = source.address
        for _ in range(1 + MAX_REDIRECTS):
            parts = source.checked(address)
            with source.problems():
                answer = await stack.enter_async_context(self._get(parts))
            if answer.status not in REDIRECTS:
                return answer
            address = source.target(address, answer)
            await stack.aclose()
        raise source.failed(f"it is redirected more than {MAX_REDIRECTS} times", allowed=MAX_REDIRECTS)

    @asynccontextmanager
    async def _get(self, parts: SplitResult) -> AsyncIterator[httpcore.Response]:
        host = parts.hostname or ""
        query = f"?{parts.query}" if parts.query else ""
        # of the parts that were checked: httpcore would take the text apart by rules of its own
        url = httpcore.URL(scheme=parts.scheme, host=host, port=parts.port, target=(parts.path or "/") + query)
        headers = {"Host": parts.netloc, **HEADERS}
        limits = {"timeout": {"connect": CONNECT_S}}
        async with (
            self._hosts.setdefault(host, asyncio.Semaphore(HOST_AT_ONCE)),
            self._room,
            self._pool.stream("GET", url, headers=list(headers.items()), extensions=limits) as answer,
        ):
            yield answer


@dataclass(frozen=True)
class _Source:
    """Where an input is to come from, for errors that say so; what a name leads to inside is told to the log alone."""

    name: str
    address: str
    private: bool

    def failed(self, why: str, *, got: Any = None, allowed: Any = None) -> ProblemError:
        """The end of a fetch that came to nothing."""
        detail = f"{self.name} could not be fetched from {self.address[:200]!r}: {why}"
        return ProblemError(ProblemType.FETCH_FAILED, detail, got=self.address if got is None else got, allowed=allowed)

    def refused(self, why: str) -> ProblemError:
        """The refusal of the address, or of one that it redirects to."""
        allowed = ALLOWED[self.private]
        detail = f"{self.name} is {self.address[:200]!r}: {why}; allowed is {allowed}"
        return ProblemError(ProblemType.INVALID_ADDRESS, detail, got=self.address, allowed=allowed)

    def too_large(self, got: int | str, limit: int) -> ProblemError:
        """The end of a fetch that brings more than it may."""
        detail = f"{self.name} at {self.address[:200]!r} is larger than the {limit} bytes allowed"
        return ProblemError(ProblemType.TOO_LARGE, detail, got=got, allowed=limit)

    def checked(self, address: str) -> SplitResult:
        """The parts of the address, or of one that it redirects to. Raises ProblemError."""
        where = "" if address == self.address else f"it redirects to {address[:200]!r}: "
        if len(address) > MAX_ADDRESS:
            raise self.refused(f"{where}it has {len(address)} characters, of which {MAX_ADDRESS} are allowed")
        if "#" in address:
            raise self.refused(f"{where}it has a fragment")
        try:
            return checked_parts(address, private=self.private)
        except ValueError as error:
            raise self.refused(f"{where}{error}") from error

    def target(self, address: str, answer: httpcore.Response) -> str:
        """What a redirect leads to. Raises ProblemError."""
        locations = _values(answer, b"location")
        if len(locations) != 1 or not locations[0]:
            raise self.failed(f"it is redirected ({answer.status}) to no address, or several", got=locations)
        try:
            return urljoin(address, locations[0])
        except ValueError as error:
            raise self.refused(f"it redirects to {locations[0][:200]!r}: {error}") from error

    @contextmanager
    def problems(self) -> Iterator[None]:
        """Make ProblemError of whatever may go wrong on the way."""
        try:
            yield
        except BlockedAddressError as error:
            log.warning("an input was not fetched", field=self.name, error=str(error))
            raise self.refused(reason(error, late=NO_CONNECTION)) from error
        except (OSError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            why = reason(error, late=NO_CONNECTION)
            log.info("an input could not be fetched", field=self.name, error=type(error).__name__, reason=why)
            raise self.failed(why) from error


def checked_address(name: str, text: str, *, private: bool) -> str:
    """An address that an input may be fetched from, as far as nobody has to be asked. Raises ProblemError."""
    _Source(name, text, private).checked(text)
    return text


def _check(source: _Source, answer: httpcore.Response, limit: int) -> None:
    """Whether an answer is a file that may be read. Raises ProblemError."""
    if answer.status != 200:
        raise source.failed(f"the answer is {answer.status}; allowed is 200", got=answer.status, allowed=200)
    encodings = [value for value in _values(answer, b"content-encoding") if value.lower() != "identity"]
    if encodings:  # what is not unfolded is no bomb
        shown = ", ".join(encodings)[:100]
        raise source.failed(f"its Content-Encoding is {shown!r}; allowed is none", got=shown, allowed="identity")
    declared = max(map(int, _values(answer, b"content-length")), default=0)  # digits, as far as h11 lets it pass
    if declared > limit:
        raise source.too_large(declared, limit)


async def _chunks(source: _Source, answer: httpcore.Response, limit: int) -> AsyncGenerator[bytes, None]:
    """The body of an answer. Raises ProblemError."""
    received = pieces = 0
    with source.problems():
        async for chunk in answer.aiter_stream():
            received += len(chunk)
            pieces += 1
            if received > limit:
                raise source.too_large(f"> {limit}", limit)
            if pieces > FREE_PIECES and received < PIECE_BYTES * pieces:
                raise source.failed(f"it comes in pieces of less than {PIECE_BYTES} bytes", allowed=PIECE_BYTES)
            yield chunk


def _values(answer: httpcore.Response, name: bytes) -> list[str]:
    return [value.decode("latin-1") for each, value in answer.headers if each.lower() == name]
