"""What holds for every request: it has an id, HEAD is GET without the body, and a proxy's path is taken off.

The id is in the answer, in every line logged meanwhile, and goes with the job it makes.
"""

import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import Match, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
QUIET = ("/healthz", "/readyz", "/metrics")  # asked for every few seconds


class RequestLog:
    """Gives requests their ids (the client's X-Request-ID, if it is a plain one) and logs each when it is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        started = time.perf_counter()
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                (log.debug if scope["path"] in QUIET else log.info)(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    seconds=round(time.perf_counter() - started, 4),
                    client=scope["client"][0] if scope.get("client") else None,
                    key=scope.get("state", {}).get("key_id"),
                )


class HeadRequests:
    """Answers HEAD where only GET is offered: with the headers of GET, and no body."""

    def __init__(self, app: ASGIApp, router: Router) -> None:
        self._app = app
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or self._offered(scope):
            await self._app(scope, receive, send)
            return
        ended = False

        async def send_headers(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended:
                ended = True  # also of a stream, which then sees that nobody listens
                await send({"type": "http.response.body"})

        asked = {**scope, "method": "GET"}  # a copy, since the server must know that no body is to come
        try:
            await self._app(asked, receive, send_headers)
        finally:
            scope["route"] = asked.get("route")  # requests are counted by it

    def _offered(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is Match.FULL for route in self._router.routes)


class RootPath:
    """Takes off the path that a proxy serves us under, where the proxy leaves it on."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "http" and scope["path"].startswith(f"{self._root_path}/"):
            scope["path"] = scope["path"].removeprefix(self._root_path)
        await self._app(scope, receive, send)


def current_request_id() -> str | None:
    """The id of the request at hand."""
    found = structlog.contextvars.get_contextvars().get("request_id")
    return None if found is None else str(found)
