"""Every error leaves as RFC 9457 application/problem+json, whoever raised it."""

import math
import reprlib
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from redis import RedisError
from starlette.exceptions import HTTPException
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
}
BEGINNING = reprlib.Repr()  # of a value's text, without making the whole of it
BEGINNING.maxlist = BEGINNING.maxdict = 8


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


def presentable(value: Any) -> Any:
    """A short JSON value that shows `value`; what is long or not JSON becomes the beginning of its text."""
    if value is None or (isinstance(value, int) and abs(value) < 2**53):  # readers of JSON take no larger ones for sure
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple) and len(value) <= 40 and all(isinstance(item, str | int) for item in value):
        return [presentable(item) for item in value]
    if isinstance(value, dict) and len(value) <= 8 and all(isinstance(key, str) for key in value):
        return {presentable(key): presentable(item) for key, item in value.items()}
    text = value if isinstance(value, str) else BEGINNING.repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"


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
    errors = error_list(found, where)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    first = errors[0]
    got = "" if isinstance(first["got"], dict | list) else f", got {first['got']!r}"
    detail = f"{first['field']}: {first['message']}{got}{more}"
    if allowed and any(each["type"] == "extra_forbidden" for each in found):
        detail += f"; allowed are {', '.join(allowed)}"
    else:
        allowed = None
    return ProblemError(problem_type, detail, got=first["got"], allowed=allowed, errors=errors)


def error_list(errors: Iterable[Any], where: str) -> list[dict[str, Any]]:
    """Pydantic's errors as field, message and the value got; the first few."""
    return [
        {
            "field": presentable(".".join([where, *(str(part) for part in error["loc"])]).strip(".")),
            "message": IN_JSON.get(error["type"], error["msg"]),
            "got": presentable(error.get("input")),
        }
        for error in islice(errors, MAX_ERRORS)
    ]


def problem_response(request: Request, problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem on the wire."""
    base = request.app.state.context.base_url(request)
    body = problem.under(base).model_copy(update={"instance": own_address(request, base)})
    return JSONResponse(
        body.model_dump(mode="json", exclude_none=True),
        status_code=problem.status,
        headers=dict(headers or {}),
        media_type="application/problem+json",
    )


def _on_problem(request: Request, error: problems.ProblemError) -> JSONResponse:
    values: dict[str, Any] = {"got": presentable(error.got), "allowed": presentable(error.allowed)}
    headers = None
    if isinstance(error, ProblemError):
        values["errors"], headers = error.errors, error.headers
    return problem_response(request, error.problem.model_copy(update=values), headers)


def _on_failed_job(request: Request, error: JobFailedError) -> JSONResponse:
    return problem_response(request, error.problem)


def _on_http(request: Request, error: HTTPException) -> JSONResponse:
    problem_type = BY_STATUS.get(error.status_code)
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
        problem = Problem.of(problem_type, detail)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = _allowed(request, headers.get("Allow", ""))
    return problem_response(request, problem, headers)


def _allowed(request: Request, named: str) -> str:
    """The methods of all operations at a path; `named` by the router are only those of the first."""
    methods = {
        method.upper()
        for template, operations in request.app.openapi()["paths"].items()
        if compile_path(template)[0].match(request.url.path)
        for method in operations
    } or {name.strip() for name in named.split(",")}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


def _on_validation(request: Request, error: RequestValidationError) -> JSONResponse:
    errors = error_list(error.errors(), "")
    problem = Problem.of(
        ProblemType.INVALID_REQUEST, f"{errors[0]['field']}: {errors[0]['message']}", got=errors[0]["got"]
    )
    return problem_response(request, problem.model_copy(update={"errors": errors}))


def _on_redis(request: Request, error: RedisError | OperationalError) -> JSONResponse:
    log.error("redis does not answer", error=str(error), path=request.url.path)
    return _unavailable(request, "the job store does not answer")


def _on_artifacts(request: Request, error: ArtifactsAwayError) -> JSONResponse:
    log.error("files cannot be stored", error=str(error), cause=str(error.__cause__), path=request.url.path)
    return _unavailable(request, str(error))


def _on_secret(request: Request, error: SecretAwayError) -> JSONResponse:
    log.error("the service's secret cannot be used", error=str(error), path=request.url.path)
    return _unavailable(request, "the service's own secret cannot be used just now")


def _unavailable(request: Request, detail: str) -> JSONResponse:
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
    OperationalError: _on_redis,
    ArtifactsAwayError: _on_artifacts,
    SecretAwayError: _on_secret,
    Exception: _on_bug,
}


def install(app: FastAPI) -> None:
    """Map every exception to its problem, in this one place."""
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
