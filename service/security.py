"""API keys, the open mode's guard, and the headers every response carries."""

import hashlib
import hmac
from collections.abc import Iterable

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.jobs.problems import Problem, ProblemType
from service.problems import ProblemError, problem_response
from service.settings import Settings

# The page loads its own script and style, shows results from blob: URLs, and nothing else from anywhere.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
OPEN_OWNER = "everyone"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class InsecureSettingsError(Exception):
    """The settings would serve strangers without a key."""


def check_exposure(settings: Settings) -> None:
    """Raise InsecureSettingsError when neither a key, nor a loopback address, nor an explicit setting guards us."""
    if not settings.api_keys and not settings.loopback and not settings.allow_open:
        raise InsecureSettingsError(
            f"listening on {settings.host} without an API key would serve everyone who can reach it: set "
            "PIRENDERER_API_KEYS, or listen on 127.0.0.1, or say PIRENDERER_ALLOW_OPEN=true if a proxy guards it"
        )


class ApiKeys:
    """The keys that are accepted; without any, everyone is one owner."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def owner(self, request: Request) -> str:
        """The owner a request's key stands for. Raises ProblemError (401)."""
        if not self._digests:
            return OPEN_OWNER
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
        given = hashlib.sha256(key.encode()).digest()
        # every key is compared, in constant time, so that timing tells nothing
        if not sum(hmac.compare_digest(given, digest) for digest in self._digests):
            raise ProblemError(
                ProblemType.UNAUTHORIZED,
                f"{'the API key is not valid' if key else 'no API key was sent'}; "
                "send one as Authorization: Bearer KEY or X-API-Key: KEY",
                headers={"WWW-Authenticate": 'Bearer realm="pirenderer"'},
            )
        return given.hex()[:16]


class SecurityHeaders:
    """Adds the security headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/v1/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class OpenModeGuard:
    """Without API keys, keeps web pages of other origins from using the service.

    A page the user visits can send forms to 127.0.0.1, or make its own name resolve to it. The first shows in Origin.
    The second shows in Host, which is checked when we listen on a loopback address (`loopback`): other addresses have
    names that we do not know.
    """

    def __init__(self, app: ASGIApp, *, loopback: bool) -> None:
        self._app = app
        self._loopback = loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host = headers.get("host", "")
            origin = headers.get("origin")
            refused = None
            if self._loopback and not {host, host.rpartition(":")[0]} & LOOPBACK_NAMES:
                refused = ("Host", host, sorted(LOOPBACK_NAMES))
            elif origin is not None and origin.partition("://")[2] != host:
                refused = ("Origin", origin, [f"http://{host}"])
            if refused is not None:
                name, got, allowed = refused
                problem = Problem.of(
                    ProblemType.FORBIDDEN,
                    f"{name} is {got!r}; without an API key only {allowed} is served",
                    got=got,
                    allowed=allowed,
                )
                await problem_response(Request(scope), problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)
