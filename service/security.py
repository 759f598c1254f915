"""API keys, the open mode's guard, and the headers every response carries."""

import hmac
import ipaddress
from collections.abc import Callable
from typing import Protocol, TypeVar

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.jobs.problems import Problem, ProblemType
from service.keys import ALL_SCOPES, KeyFile, KeyScope, digest_of
from service.problems import ProblemError, problem_response
from service.settings import Settings
from service.throttle import Caller

# The page loads its own script and style, shows results from blob: URLs, and nothing else from anywhere.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob:",
    "media-src 'self' blob:",
    "form-action 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
OPEN_OWNER = "everyone"


class InsecureSettingsError(Exception):
    """The settings would serve strangers without a key."""


def check_exposure(settings: Settings) -> None:
    """Raise InsecureSettingsError when neither a key, nor a loopback address, nor an explicit setting guards us."""
    try:
        keyed = AccessControl(settings).keyed
    except ValueError as error:
        raise InsecureSettingsError(f"{settings.keys_path} is not a file of keys: {error}") from error
    if not keyed and not settings.loopback and not settings.allow_open:
        raise InsecureSettingsError(
            f"listening on {settings.host} without an API key would serve everyone who can reach it: make one with "
            f"`pirenderer keys make OWNER --data-dir {settings.data_dir}`, or set PIRENDERER_API_KEYS, or listen on "
            "127.0.0.1, or say PIRENDERER_ALLOW_OPEN=true if a proxy guards it"
        )


class AccessControl:
    """Who may do what: the keys of the key file and of the settings; while there are none, everyone is one owner."""

    def __init__(self, settings: Settings) -> None:
        self._file = KeyFile(settings.keys_path)
        self._digests = [digest_of(key.get_secret_value()) for key in settings.api_keys]
        self._rate = settings.rate
        self._quota = settings.quota

    @property
    def keyed(self) -> bool:
        """Whether a key is needed. Once there were keys it stays so, though all were revoked."""
        return bool(self._digests or self._file.records())

    def caller(self, request: Request) -> Caller:
        """Whom a request's key stands for. Raises ProblemError (401)."""
        if not self.keyed:
            return Caller(OPEN_OWNER, OPEN_OWNER, ALL_SCOPES)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
        record = self._file.find(key)
        if record is not None:
            rate, quota = record.rate or self._rate, record.quota or self._quota
            return Caller(record.owner, record.id, record.scopes, rate, quota)
        given = digest_of(key)
        if sum(hmac.compare_digest(given, digest) for digest in self._digests):
            return Caller(given[:16], given[:8], ALL_SCOPES, self._rate, self._quota)
        raise ProblemError(
            ProblemType.UNAUTHORIZED,
            f"{'the API key is not valid' if key else 'no API key was sent'}; "
            "send one as Authorization: Bearer KEY or X-API-Key: KEY",
            headers={"WWW-Authenticate": 'Bearer realm="pirenderer"'},
        )


def require(caller: Caller, scope: KeyScope) -> None:
    """Raise ProblemError (403) when a caller's key does not allow something."""
    if scope not in caller.scopes:
        got = sorted(caller.scopes)
        raise ProblemError(
            ProblemType.FORBIDDEN,
            f"this needs a key with the scope {scope.value}; this one has {', '.join(got) or 'none'}",
            got=got,
            allowed=[scope.value],
        )


class Owned(Protocol):
    """What is one owner's."""

    @property
    def owner(self) -> str:
        """Whose it is."""
        ...


Thing = TypeVar("Thing", bound=Owned)


def owned(found: Thing | None, what: str, given_id: str, caller: Caller) -> Thing:
    """`found` if it is the caller's. Raises ProblemError (404), also for another's, so that ids cannot be probed."""
    if found is None or found.owner != caller.owner:
        raise ProblemError(ProblemType.NOT_FOUND, f"there is no {what} {given_id[:64]!r}", got=given_id)
    return found


class SecurityHeaders:
    """Adds the security headers to every response. `results_from` is the origin that results come from, if not ours."""

    def __init__(self, app: ASGIApp, *, results_from: str | None = None) -> None:
        self._app = app
        connect = " ".join(("connect-src 'self'", *([results_from] if results_from else [])))
        self._headers = {"Content-Security-Policy": "; ".join((*CONTENT_SECURITY_POLICY, connect)), **SECURITY_HEADERS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
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

    def __init__(self, app: ASGIApp, *, loopback: bool, keyed: Callable[[], bool]) -> None:
        self._app = app
        self._loopback = loopback
        self._keyed = keyed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "http" and not self._keyed():
            headers = Headers(scope=scope)
            host = headers.get("host", "")
            origin = headers.get("origin")
            refused = None
            if self._loopback and not _names_loopback(host):
                refused = ("Host", host, ["localhost", "127.0.0.1", "[::1]"])
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


def _names_loopback(host: str) -> bool:
    """Whether a Host header names this machine itself."""
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
