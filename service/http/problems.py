"""Every error leaves as RFC 9457 application/problem+json, whoever raised it."""

import math
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from redis import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import compile_path

from jobs import problems
from jobs.documents import MAX_ERRORS
from jobs.files.artifacts import ArtifactsAwayError
from jobs.problems import Problem, ProblemType
from service.http.addresses import own_address
from service.secret import SecretAwayError

log = structlog.get_logger(__name__)

BY_STATUS = {
    400: ProblemType.BAD_REQUEST,
    401: ProblemType.UNAUTHORIZED,
    403: ProblemType.FORBIDDEN,
    404: ProblemType.NOT_FOUND,
    405: ProblemType.METHOD_NOT_ALLOWED,
    413: ProblemType.TOO_LARGE,
    415: ProblemType.UNSUPPORTED_MEDIA,
    416: ProblemType.RANGE_NOT_SATISFIABLE,
    422: ProblemType.INVALID_REQUEST,
    429: ProblemType.TOO_MANY_REQUESTS,
    503: ProblemType.UNAVAILABLE,
}
# What clients write is JSON, where pydantic speaks of Python
IN_JSON = {
    "list_type": "Input should be a valid array",
    "tuple_type": "Input should be a valid array",
    "dict_type": "Input should be an object",
    "model_type": "Input should be an object",
    "extra_forbidden": "there is no such field",
    **dict.fromkeys(
        ("datetime_from_date_parsing", "datetime_parsing", "datetime_type", "timezone_aware"),
        "Input should be a time with its zone, as 2026-03-01T12:00:00Z",
    ),
}
BEGINNING = reprlib.Repr()  # of a value's text, without making the whole of it
DEPTH = 3  # of what is shown
MANY, FEW = 64, 8  # short items of a list that are shown; other items of it, and fields
# What pydantic says of what is allowed, after these words
QUOTED = re.compile(r"'([^']+)'")
ALLOWED = re.compile(r"(?:should (?:be|have|match) |exactly one of )(.+)")


class ProblemError(problems.ProblemError):
    """Ends a request with a problem, with the errors of a form's field and headers for the answer."""

    def __init__(
        self,
        problem_type: ProblemType,
        detail: str,
        *,
        got: Any = None,
        allowed: Any = None,
        errors: list[dict[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(problem_type, detail, got=got, allowed=allowed)
        self.errors = errors
        self.headers = headers


class JobFailedError(Exception):
    """Ends a request with the problem that a job ended with."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def presentable(value: Any, depth: int = DEPTH) -> Any:
    """A short JSON value that shows `value`: the beginning of what is long, and the text of what is not JSON."""
    if value is None or (isinstance(value, int) and abs(value) < 2**53):  # readers of JSON take no larger ones for sure
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple | dict) and not depth:
        return "…"
    if isinstance(value, list | tuple):
        most = MANY if all(_is_short(item) for item in islice(value, MANY)) else FEW
        more = [f"… ({len(value)} in all)"] if len(value) > most else []
        return [presentable(item, depth - 1) for item in islice(value, most)] + more
    if isinstance(value, dict):
        more_of = {"…": f"{len(value)} in all"} if len(value) > FEW else {}
        shown = islice(value.items(), FEW)
        return {str(presentable(str(key))): presentable(item, depth - 1) for key, item in shown} | more_of
    text, most = value if isinstance(value, str) else BEGINNING.repr(value), 200 if depth == DEPTH else 64
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def _is_short(value: Any) -> bool:
    return (isinstance(value, int) and abs(value) < 2**53) or (isinstance(value, str) and len(value) <= 40)


def validation_error(
    problem_type: ProblemType,
    error: ValidationError,
    *,
    where: str,
    tag: int | None = None,
    allowed: list[str] | None = None,
) -> ProblemError:
    """The problem of a form field that does not fit its schema; text that is not JSON is a bad request.

    `tag`: the place of a union's member in the errors' paths, which is no part of what was sent. `allowed`: the fields
    that there are, to be said where others were sent. The schema has to end at its first errors where there may be
    many, as those of jobs.documents do: pydantic makes all or none.
    """
    found = error.errors(include_url=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        return ProblemError(ProblemType.BAD_REQUEST, f"{where}: {found[0]['msg']}", got=found[0].get("input"))
    if tag is not None:
        found = [{**each, "loc": (*each["loc"][:tag], *each["loc"][tag + 1 :])} for each in found]
    errors = error_list(found, where, fields=allowed)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    first = errors[0]
    got = "" if isinstance(first["got"], dict | list) else f", got {first['got']!r}"
    detail = f"{first['field']}: {first['message']}{got}{more}"
    if found[0]["type"] == "extra_forbidden" and "allowed" in first:
        detail += f"; allowed are {', '.join(first['allowed'])}"
    return ProblemError(problem_type, detail, got=first["got"], allowed=first.get("allowed"), errors=errors)


def error_list(errors: Iterable[Any], where: str, *, fields: list[str] | None = None) -> list[dict[str, Any]]:
    """Pydantic's errors as field, message, the value got and what is allowed; the first few. `fields` are those that
    there are at the top."""
    return [_told(error, where, fields) for error in islice(errors, MAX_ERRORS)]


def _told(error: Any, where: str, fields: list[str] | None) -> dict[str, Any]:
    message = IN_JSON.get(error["type"], error["msg"]).removeprefix("Value error, ")
    told = {
        "field": presentable(".".join([where, *(str(part) for part in error["loc"])]).strip(".")),
        "message": message,
        "got": presentable(error.get("input")),
    }
    if error["type"] == "extra_forbidden":
        return told | ({"allowed": fields} if fields and len(error["loc"]) == 1 else {})
    if error["type"] in ("enum", "literal_error"):
        return told | {"allowed": QUOTED.findall(message)}
    found = ALLOWED.search(message)
    return told | ({"allowed": found[1]} if found else {})


def problem_document(request: HTTPConnection, problem: Problem) -> dict[str, Any]:
    """A problem as who sent the request sees it."""
    base = request.app.state.context.base_url(request)
    body = problem.under(base).model_copy(update={"instance": own_address(request, base)})
    return body.model_dump(mode="json", exclude_none=True)


def problem_response(
    request: HTTPConnection, problem: Problem, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """A problem on the wire."""
    return JSONResponse(
        problem_document(request, problem),
        status_code=problem.status,
        headers=dict(headers or {}),
        media_type="application/problem+json",
    )


def presentable_problem(error: problems.ProblemError) -> Problem:
    """The problem that something ends with, with no more of its values than is needed to know them."""
    values = {"got": presentable(error.got), "allowed": presentable(error.allowed)}
    return error.problem.model_copy(update={**values, "errors": getattr(error, "errors", None)})


def _on_problem(request: HTTPConnection, error: problems.ProblemError) -> JSONResponse:
    return problem_response(request, presentable_problem(error), getattr(error, "headers", None))


def _on_failed_job(request: HTTPConnection, error: JobFailedError) -> JSONResponse:
    return problem_response(request, error.problem)


def _on_http(request: Request, error: HTTPException) -> JSONResponse:
    problem_type = BY_STATUS.get(error.status_code)
    headers, allowed = dict(error.headers or {}), None
    if error.status_code == 405:
        allowed = _allowed(request, headers.get("Allow", ""))
        headers["Allow"] = ", ".join(allowed)
    detail = {
        404: f"there is nothing at {request.url.path}",
        405: f"{request.method} is not offered at {request.url.path}",
    }.get(error.status_code, str(error.detail))
    if problem_type is None:
        problem = Problem(
            type="about:blank",  # RFC 9457: it means no more than its status
            title=str(error.detail),
            status=error.status_code,
            detail=detail,
        )
    else:
        problem = Problem.of(problem_type, detail, got=request.method if allowed else None, allowed=allowed)
    return problem_response(request, problem, headers)


def _allowed(request: Request, named: str) -> list[str]:
    """The methods of all operations at a path; `named` by the router are only those of the first."""
    methods = {
        method.upper()
        for template, operations in request.app.openapi()["paths"].items()
        if compile_path(template)[0].match(request.url.path)
        for method in operations
    } or {name.strip() for name in named.split(",")}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


def _on_validation(request: Request, error: RequestValidationError) -> JSONResponse:
    errors = error_list(error.errors(), "")
    first = errors[0]
    problem = Problem.of(
        ProblemType.INVALID_REQUEST,
        f"{first['field']}: {first['message']}, got {first['got']!r}",
        got=first["got"],
        allowed=first.get("allowed"),
    )
    return problem_response(request, problem.model_copy(update={"errors": errors}))


def _on_redis(request: HTTPConnection, error: RedisError) -> JSONResponse:
    log.error("redis does not answer", error=str(error), path=request.url.path)
    return _unavailable(request, "the job store does not answer")


def _on_artifacts(request: HTTPConnection, error: ArtifactsAwayError) -> JSONResponse:
    log.error("files cannot be stored", error=str(error), cause=str(error.__cause__), path=request.url.path)
    return _unavailable(request, str(error))


def _on_secret(request: HTTPConnection, error: SecretAwayError) -> JSONResponse:
    log.error("the service's secret cannot be used", error=str(error), path=request.url.path)
    return _unavailable(request, "the service's own secret cannot be used just now")


def _unavailable(request: HTTPConnection, detail: str) -> JSONResponse:
    return problem_response(request, Problem.of(ProblemType.UNAVAILABLE, detail), {"Retry-After": "5"})


def _on_bug(request: Request, error: Exception) -> JSONResponse:
    # the server logs the traceback; ours must not, since it would show what was uploaded
    log.error("unhandled exception", path=request.url.path, error=type(error).__name__)
    return problem_response(request, Problem.of(ProblemType.INTERNAL, "an unexpected error; it has been logged"))


HANDLERS: dict[type[Exception], Callable[[Request, Any], JSONResponse]] = {
    problems.ProblemError: _on_problem,
    JobFailedError: _on_failed_job,
    HTTPException: _on_http,
    RequestValidationError: _on_validation,
    RedisError: _on_redis,
    ArtifactsAwayError: _on_artifacts,
    SecretAwayError: _on_secret,
    Exception: _on_bug,
}


def install(app: FastAPI) -> None:
    """Map every exception to its problem, in this one place."""
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
