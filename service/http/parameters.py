"""Query parameters that a call does not have are refused, since a misspelt one would be left out silently."""

from starlette.requests import HTTPConnection

from jobs.problems import ProblemType
from service.http.problems import ProblemError


async def known_parameters(request: HTTPConnection) -> None:
    """A dependency: the call has all query parameters that were sent, by its description. Raises ProblemError (422)."""
    if not request.query_params:
        return
    operations = request.app.openapi()["paths"].get(request.scope["route"].path, {})  # a WebSocket has none
    operation = operations.get(request.scope.get("method", "").lower(), {})
    allowed = [each["name"] for each in operation.get("parameters", ()) if each.get("in") == "query"]
    if unknown := [name for name in request.query_params if name not in allowed]:
        raise ProblemError(
            ProblemType.INVALID_REQUEST,
            f"there is no query parameter {unknown[0][:64]!r} here; allowed are {', '.join(allowed) or 'none'}",
            got=unknown,
            allowed=allowed,
        )
