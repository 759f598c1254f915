"""Who may do what: API keys, their scopes, and settings that would let strangers in."""

import base64
import hmac
from typing import Protocol, TypeVar

import structlog
from starlette.requests import HTTPConnection

from jobs.errors import UnusableError
from jobs.problems import ProblemType
from service.access.keys import ALL_SCOPES, KeyFile, KeysAwayError, KeyScope, OwnerLimits, digest_of
from service.access.throttle import OPEN_OWNER, Bound, Caller
from service.http.problems import ProblemError
from service.secret import ServiceSecret
from service.settings import Settings

log = structlog.get_logger(__name__)

KEY_PROTOCOL = "key."  # before a key in base64url, without its padding


class InsecureSettingsError(UnusableError):
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

    def caller(self, request: HTTPConnection) -> Caller:
        """Whom a request's key stands for. Raises ProblemError (401, or 503 while the file of keys cannot be read)."""
        if not self.keyed:
            return Caller(OPEN_OWNER, OPEN_OWNER, ALL_SCOPES)
        key = _sent_key(request)
        given = digest_of(key)
        if sum(hmac.compare_digest(given, digest) for digest in self._digests):
            # a name that tells nothing of the key: it is kept with jobs and logged
            name = self._secret.derive(f"owner:{key}").hex()
            return Caller(name[:16], name[:8], ALL_SCOPES, _bounds(self._rate), _bounds(self._quota))
        try:
            record = self._file.find(key)
            limits = self._file.limits(record.owner) if record else OwnerLimits()
        except KeysAwayError as error:
            log.error("keys cannot be checked", error=str(error))  # noqa: TRY400 - nothing of it is unexpected
            raise ProblemError(
                ProblemType.UNAVAILABLE, "the API keys cannot be checked just now", headers={"Retry-After": "5"}
            ) from error
        if record is not None:
            return Caller(
                record.owner,
                record.id,
                record.scopes,
                _bounds(record.rate or (None if limits.rate else self._rate), limits.rate),
                _bounds(record.quota or (None if limits.quota else self._quota), limits.quota),
            )
        raise ProblemError(
            ProblemType.UNAUTHORIZED,
            f"{'the API key is not valid' if key else 'no API key was sent'}; "
            "send one as Authorization: Bearer KEY or X-API-Key: KEY",
            headers={"WWW-Authenticate": 'Bearer realm="pirenderer"'},
        )


def _bounds(of_key: str | None, of_owner: str | None = None) -> tuple[Bound, ...]:
    """Those that hold."""
    return (*((Bound(of_key),) if of_key else ()), *((Bound(of_owner, shared=True),) if of_owner else ()))


def _sent_key(request: HTTPConnection) -> str:
    """The key that came with a request, empty where none did.

    With a WebSocket it may be among the subprotocols that are offered: pages can send no headers with those.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    if "x-api-key" in request.headers:
        return request.headers["x-api-key"]
    offered = next((each for each in request.scope.get("subprotocols", ()) if each.startswith(KEY_PROTOCOL)), "")
    text = offered.removeprefix(KEY_PROTOCOL)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        return ""


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
