"""The body of a request as it streams in, bounded in size and in time."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from fastapi import Request
from starlette.requests import ClientDisconnect

from jobs.problems import ProblemType
from service.http.problems import ProblemError


async def bounded(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The bytes of a body. Raises ProblemError: 413 for too many, as they come or are told of; 415 if packed."""
    _check_encoding(request)
    _check_declared(request, limit)
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise ProblemError(
                ProblemType.TOO_LARGE,
                f"the request is larger than the {limit} bytes allowed",
                got=f"> {limit}",
                allowed=limit,
            )
        yield chunk


@contextmanager
def arriving(timeout_s: float) -> Iterator[None]:
    """Make ProblemError of the end of the caller's timeout of `timeout_s`, and of a client who leaves."""
    try:
        yield
    except TimeoutError as error:
        raise ProblemError(
            ProblemType.TOO_SLOW,
            f"the request was not complete after {timeout_s:g} s",
            allowed=timeout_s,
            headers={"Connection": "close"},
        ) from error
    except ClientDisconnect as error:  # nobody reads this answer, but what was stored is removed
        raise ProblemError(ProblemType.BAD_REQUEST, "the client went away before the request was complete") from error


def _check_encoding(request: Request) -> None:
    got = ", ".join(request.headers.getlist("content-encoding"))
    if got.lower() not in ("", "identity"):  # what is not unfolded is no bomb
        raise ProblemError(
            ProblemType.UNSUPPORTED_MEDIA,
            f"the request's Content-Encoding is {got[:100]!r}; allowed is none",
            got=got,
            allowed="identity",
        )


def _check_declared(request: Request, limit: int) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise ProblemError(
            ProblemType.TOO_LARGE,
            f"the request has {declared} bytes; allowed are {limit}",
            got=int(declared),
            allowed=limit,
        )
