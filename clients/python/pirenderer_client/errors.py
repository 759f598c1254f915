"""What can go wrong, by kinds that are caught differently."""

import contextlib
import re
from collections.abc import Mapping
from typing import Any

import httpx


class ServiceError(Exception):
    """The service answered with a problem (RFC 9457), or with what cannot be used.

    What the problem does not say is None: `status` is that of HTTP, `name` the last part of `type` ("no-face"), `got`
    the value found, `allowed` what would have been accepted, `errors` those of the fields. `retry_after`: seconds after
    which to ask again.
    """

    def __init__(
        self, text: str, problem: Mapping[str, Any] | None = None, *, retry_after: float | None = None
    ) -> None:
        super().__init__(text)
        self.problem = dict(problem or {})
        self.status: int | None = self.problem.get("status")
        self.type: str | None = self.problem.get("type")
        self.name = self.type and re.split("[:/]", self.type)[-1]
        self.title: str | None = self.problem.get("title")
        self.detail: str | None = self.problem.get("detail")
        self.got: Any = self.problem.get("got")
        self.allowed: Any = self.problem.get("allowed")
        self.errors: list[dict[str, Any]] | None = self.problem.get("errors")
        self.retry_after = retry_after

    @property
    def passes(self) -> bool:
        """Whether the same may succeed when it is sent again."""
        return self.name == "idempotency-in-flight"


class InvalidRequestError(ServiceError):
    """The request cannot be fulfilled as it is (4xx)."""


class NotFoundError(ServiceError):
    """There is no such thing, or no more (404, 410)."""


class UnauthorizedError(ServiceError):
    """A valid key is needed, or this one may not do that (401, 403)."""


class TooManyRequestsError(ServiceError):
    """More than the key's owner may send or have waiting (429); `retry_after` says when to come again."""


class UnavailableError(ServiceError):
    """The service, or a part of it, is away or full (502, 503, 504, 507)."""

    @property
    def passes(self) -> bool:
        """Whether the same may succeed when it is sent again: not where storage is used up."""
        return self.status != 507


class ConnectionFailedError(ServiceError):
    """No answer came, or it broke off."""

    @property
    def passes(self) -> bool:
        """Whether the same may succeed when it is sent again."""
        return True


KINDS = {
    401: UnauthorizedError,
    403: UnauthorizedError,
    404: NotFoundError,
    410: NotFoundError,
    429: TooManyRequestsError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
    507: UnavailableError,
}


def problem_error(problem: Mapping[str, Any], *, retry_after: float | None = None) -> ServiceError:
    """The error of a problem, of the kind that its status says."""
    status = problem["status"]
    kind = KINDS.get(status) or (InvalidRequestError if 400 <= status < 500 else ServiceError)
    return kind(f"{problem['title']}: {problem['detail']}", problem, retry_after=retry_after)


def answer_error(response: httpx.Response) -> ServiceError:
    """The error of an answer, whose body has been read."""
    retry_after = None
    with contextlib.suppress(ValueError, OverflowError):  # it may also be a date
        retry_after = float(max(0, int(response.headers.get("retry-after", ""))))
    with contextlib.suppress(ValueError, TypeError, KeyError):  # of a proxy, which has problems of its own
        return problem_error(response.json(), retry_after=retry_after)
    status, place = response.status_code, shown(response.url)
    problem = {"status": status, "title": response.reason_phrase or "Error", "detail": f"{place} answered {status}"}
    return problem_error(problem, retry_after=retry_after)


def shown(url: httpx.URL) -> str:
    """An address for people: without a password, and without what a signed one asks for."""
    return str(url.copy_with(userinfo=b"", query=None))
