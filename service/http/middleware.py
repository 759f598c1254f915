"""What holds for every request: it has an id, is logged and counted, its answer has the security headers, HEAD is GET
without the body, a proxy's path is taken off, and without API keys pages of other origins are kept out.

The id is in the answer, in every line logged meanwhile, and goes with the job it makes. A WebSocket is a request whose
answer is its handshake's: 101, or a refusal as of any other.
"""

import re
import secrets
import time
from collections.abc import Callable

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.routing import Match, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs import tracing
from jobs.problems import Problem, ProblemType
from service.http.problems import problem_response
from service.metrics import METHODS
from service.settings import is_loopback

log = structlog.get_logger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
LONGEST_PATH = 1024  # characters of one that is traced
QUIET = ("/healthz", "/readyz", "/metrics")  # asked for every few seconds
REQUESTS = ("http", "websocket")
ANSWERS = ("http.response.start", "websocket.http.response.start")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
}
HOST = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::[0-9]*)?")


def content_security_policy(results_from: str | None, *, images: str = "") -> str:
    """What pages load: their scripts and styles, results, which blob: URLs show, and `images` from elsewhere."""
    directives = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' blob: {images}",
        "media-src": "'self' blob:",
        "connect-src": f"'self' {results_from or ''}",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {sources}".rstrip() for name, sources in directives.items())


class RequestLog:
    """Gives requests their ids (the client's X-Request-ID, if it is a plain one) and logs each when it is answered.

    `observe` is then told of it: the connection's scope, the status, and the seconds until the last byte was sent; of a
    WebSocket, until it was let in or refused. One that was let in is logged when it is closed, with the code.
    """

    def __init__(self, app: ASGIApp, observe: Callable[[Scope, int, float], None]) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] not in REQUESTS:
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        started = time.perf_counter()
        status, code, answered_s = 500, None, None

        async def receive_noting() -> Message:
            nonlocal code
            message = await receive()
            if message["type"] == "websocket.disconnect":
                code = message.get("code")
            return message

        async def send_with_id(message: Message) -> None:
            nonlocal status, code, answered_s
            if message["type"] in (*ANSWERS, "websocket.accept"):
                status = message.get("status", 101)
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            elif message["type"] == "websocket.close":
                code = message.get("code")
            await send(message)
            if message["type"] == "websocket.accept":
                answered_s = time.perf_counter() - started

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive_noting, send_with_id)
            finally:
                seconds = time.perf_counter() - started
                self._observe(scope, status, seconds if answered_s is None else answered_s)
                (log.debug if scope["path"] in QUIET else log.info)(
                    "request",
                    method=scope.get("method", "GET"),
                    path=scope["path"],
                    status=status,
                    seconds=round(seconds, 4),
                    client=scope["client"][0] if scope.get("client") else None,
                    key=scope.get("state", {}).get("key_id"),
                    **({} if code is None else {"code": code}),
                )


class RequestSpans:
    """Traces calls of the API, each as a span that says how it was answered.

    A part of its client's trace, where the client has one. Only what the server failed at is an error.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] not in REQUESTS or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        method = scope.get("method", "GET")  # a WebSocket's handshake is one
        method = method if method in METHODS else "_OTHER"
        facts = {"http.request.method": method, "url.path": scope["path"][:LONGEST_PATH], "url.scheme": scope["scheme"]}

        async def send_noting(message: Message) -> None:
            if message["type"] in (*ANSWERS, "websocket.accept"):
                self._note(message)
            await send(message)

        with tracing.request_span(Headers(scope=scope), facts):
            try:
                await self._app(scope, receive, send_noting)
            except Exception as error:
                tracing.note_error(error)  # it is answered outside of this
                tracing.annotate({"http.response.status_code": 500})
                raise
            finally:
                if (route := getattr(scope.get("route"), "path", None)) is not None:
                    tracing.annotate({"http.route": route}, name=f"{method} {route}")

    def _note(self, message: Message) -> None:
        status = message.get("status", 101)
        request_id = Headers(raw=message["headers"]).get("x-request-id")
        tracing.annotate({"http.response.status_code": status, "pirenderer.request.id": request_id})
        if status >= 500:
            tracing.note_failure(str(status))


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
        if scope["type"] in REQUESTS and scope["path"].startswith(f"{self._root_path}/"):
            scope["path"] = scope["path"].removeprefix(self._root_path)
        await self._app(scope, receive, send)


class SecurityHeaders:
    """Adds the security headers to every response, and for how long it may be kept.

    `results_from` is the origin that results come from, if not ours.
    """

    def __init__(self, app: ASGIApp, *, results_from: str | None = None) -> None:
        self._app = app
        self._headers = {"Content-Security-Policy": content_security_policy(results_from), **SECURITY_HEADERS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] not in REQUESTS:
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ANSWERS:
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                # The page's files too are asked for anew: those of two releases do not fit together
                headers.setdefault("Cache-Control", "no-store" if scope["path"].startswith("/v1/") else "no-cache")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class OpenModeGuard:
    """Without API keys, keeps web pages of other origins from using the service.

    A page the user visits can send forms to us, open WebSockets, which no CORS governs, or make its own name resolve to
    our address. The first two show in Origin, the third in Host: only names of ours are answered to, which are this
    machine's own and `hosts`. With keys nothing of this is needed: no browser sends a key by itself, as it does
    cookies, so a page that has one was given it.
    """

    def __init__(self, app: ASGIApp, *, hosts: tuple[str, ...], keyed: Callable[[], bool]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        named = dict.fromkeys(["localhost", "127.0.0.1", "::1", *hosts])
        self._allowed = [f"[{name}]" if ":" in name else name for name in named]
        self._keyed = keyed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] in REQUESTS and not self._keyed():
            headers = Headers(scope=scope)
            host = headers.get("host", "")
            origin = headers.get("origin")
            refused = None
            if not self._ours(host):
                refused = ("Host", host, self._allowed, "; PIRENDERER_HOSTS names more")
            elif origin is not None and origin.partition("://")[2] != host:
                refused = ("Origin", origin, [f"http://{host}"], "")
            if refused is not None:
                name, got, allowed, hint = refused
                problem = Problem.of(
                    ProblemType.FORBIDDEN,
                    f"{name} is {got!r}; without an API key only {', '.join(allowed)} is served{hint}",
                    got=got,
                    allowed=allowed,
                )
                await problem_response(HTTPConnection(scope), problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _ours(self, host: str) -> bool:
        found = HOST.fullmatch(host)
        name = (found[1] or found[2] or "").lower() if found else ""
        return is_loopback(name) or name in self._hosts


def current_request_id() -> str | None:
    """The id of the request at hand."""
    found = structlog.contextvars.get_contextvars().get("request_id")
    return None if found is None else str(found)
