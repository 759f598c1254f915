"""API keys, the open mode's guard, and the headers every response carries."""

import hmac
import re
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog
from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.problems import Problem, ProblemType
from service.access.keys import ALL_SCOPES, KeyFile, KeysAwayError, KeyScope, digest_of
from service.access.throttle import OPEN_OWNER, Caller
from service.http.problems import ProblemError, problem_response
from service.secret import ServiceSecret
from service.settings import Settings, is_loopback

log = structlog.get_logger(__name__)

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
HOST = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::[0-9]*)?")


class InsecureSettingsError(Exception):
    """The settings would serve strangers without a key."""


def check_exposure(settings: Settings) -> None:
    """Raise InsecureSettingsError when neither a key, nor a loopback address, nor an explicit setting guards us.

    Neither are keys done without because their file is gone, broken, or left behind in the data folder.
    """
    kept = KeyFile(settings.keys_path)
    try:
        kept.records()
    except KeysAwayError as error:
        raise InsecureSettingsError(str(error)) from error
    left = [settings.data_dir / path.name for path in (settings.keys_path, settings.webhook_key_path)]
    if settings.keys_dir and any(path.exists() and not (settings.keys_dir / path.name).exists() for path in left):
        raise InsecureSettingsError(
            f"PIRENDERER_KEYS_DIR is {settings.keys_dir}, but keys were made in {settings.data_dir}: move keys.json, "
            "keys.lock and webhooks.key, as far as they are there"
        )
    if not (kept.keyed or settings.api_keys or settings.loopback or settings.allow_open):
        where = f"listening on {settings.host}" + (f", published at {settings.publish}," if settings.publish else "")
        raise InsecureSettingsError(
            f"{where} without an API key would serve everyone who can reach it: make one with "
            f"`pirenderer keys make OWNER --data-dir {settings.data_dir}`, or set PIRENDERER_API_KEYS, or listen on "
            "127.0.0.1, or say PIRENDERER_ALLOW_OPEN=true if a proxy guards it"
        )


class AccessControl:
    """Who may do what: the keys of the key file and of the settings; while there are none, everyone is one owner."""

    def __init__(self, settings: Settings, secret: ServiceSecret) -> None:
        self._file = KeyFile(settings.keys_path)
        self._digests = [digest_of(key.get_secret_value()) for key in settings.api_keys]
        self._may_be_open = settings.loopback or settings.allow_open
        self._secret = secret
        self._rate = settings.rate
        self._quota = settings.quota

    @property
    def keyed(self) -> bool:
        """Whether a key is needed. Once there were keys it stays so, whatever becomes of them and of their file."""
        return bool(self._digests) or not self._may_be_open or self._file.keyed

    def caller(self, request: Request) -> Caller:
        """Whom a request's key stands for. Raises ProblemError (401, or 503 while the file of keys cannot be read)."""
        if not self.keyed:
            return Caller(OPEN_OWNER, OPEN_OWNER, ALL_SCOPES)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
        given = digest_of(key)
        if sum(hmac.compare_digest(given, digest) for digest in self._digests):
            # a name that tells nothing of the key: it is kept with jobs and logged
            name = self._secret.derive(f"owner:{key}").hex()
            return Caller(name[:16], name[:8], ALL_SCOPES, self._rate, self._quota)
        try:
            record = self._file.find(key)
        except KeysAwayError as error:
            log.error("keys cannot be checked", error=str(error))  # noqa: TRY400 - nothing of it is unexpected
            raise ProblemError(
                ProblemType.UNAVAILABLE, "the API keys cannot be checked just now", headers={"Retry-After": "5"}
            ) from error
        if record is not None:
            rate, quota = record.rate or self._rate, record.quota or self._quota
            return Caller(record.owner, record.id, record.scopes, rate, quota)
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

    A page the user visits can send forms to us, or make its own name resolve to our address. The first shows in Origin,
    the second in Host: only names of ours are answered to, which are this machine's own and `hosts`.
    """

    def __init__(self, app: ASGIApp, *, hosts: tuple[str, ...], keyed: Callable[[], bool]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        named = dict.fromkeys(["localhost", "127.0.0.1", "::1", *hosts])
        self._allowed = [f"[{name}]" if ":" in name else name for name in named]
        self._keyed = keyed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "http" and not self._keyed():
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
                await problem_response(Request(scope), problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _ours(self, host: str) -> bool:
        found = HOST.fullmatch(host)
        name = (found[1] or found[2] or "").lower() if found else ""
        return is_loopback(name) or name in self._hosts
