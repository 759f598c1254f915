"""Query parameters that a call does not have are refused, since a misspelt one would be left out silently."""

from fastapi import Request

from jobs.problems import ProblemType
from service.http.problems import ProblemError


async def known_parameters(request: Request) -> None:
    """A dependency: the call has all query parameters that were sent, by its description. Raises ProblemError (422)."""
    if not request.query_params:
        return
    operation = request.app.openapi()["paths"][request.scope["route"].path][request.method.lower()]
    allowed = [each["name"] for each in operation.get("parameters", ()) if each.get("in") == "query"]
    if unknown := [name for name in request.query_params if name not in allowed]:
        raise ProblemError(
            ProblemType.INVALID_REQUEST,
            f"there is no query parameter {unknown[0][:64]!r} here; allowed are {', '.join(allowed) or 'none'}",
            got=unknown,
            allowed=allowed,
        )
