"""Settings of the front-end, from the environment (prefix PIRENDERER_)."""

import contextlib
import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any

from limits import parse
from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode, SettingsConfigDict

from jobs.settings import GIB, MIB, Positive, Seconds, SharedSettings, read_from_environment

KEY_CHARACTERS = 32  # as many hexadecimal digits are 128 random bits
HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
SEGMENT = "[A-Za-z0-9._~-]+"
ROOT_PATH = re.compile(rf"(/(?!(v1|web)(/|$)){SEGMENT}(/{SEGMENT})*)?")


def _check_rate(text: str) -> str:
    try:
        parse(text)
    except ValueError as error:
        raise ValueError("a rate is N/second, N/minute, N/hour or N/day") from error
    return text


Rate = Annotated[str, AfterValidator(_check_rate)]


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_key(key: SecretStr) -> SecretStr:
    length = len(key.get_secret_value())
    if length < KEY_CHARACTERS:
        raise PydanticCustomError(
            "short_key",
            "a key has at least {least} characters, random ones",
            {"least": KEY_CHARACTERS, "got": f"one of {length} characters"},  # for the key is not to be shown
        )
    return key


def _check_host(text: str) -> str:
    name = text.lower().removeprefix("[").removesuffix("]")
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(name))
    if HOST_NAME.fullmatch(name):
        return name
    raise ValueError("a host is a name or an address, without scheme and port")


def _check_proxy(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError("a proxy is an address or a network (10.0.0.0/8)") from error


def _check_root_path(text: str) -> str:
    path = text.rstrip("/")
    if not ROOT_PATH.fullmatch(path):
        raise ValueError("it is a path as /portraits, but not /v1 or /web")
    return path


class Settings(SharedSettings):
    """What can be set. Every limit is checked before, or while, the thing it bounds is read."""

    model_config = SettingsConfigDict(hide_input_in_errors=True)  # keys

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    publish: str | None = None  # where a container's port is published, as compose says it: ADDRESS:PORT, or PORT
    # names that we are asked by without keys, beside this machine's own and `host`; comma-separated
    hosts: Annotated[tuple[Annotated[str, AfterValidator(_check_host)], ...], NoDecode] = ()
    root_path: Annotated[str, AfterValidator(_check_root_path)] = ""  # the path that a proxy serves us under
    # whose X-Forwarded-For and -Proto are believed: addresses and networks; comma-separated
    trusted_proxies: Annotated[tuple[Annotated[str, AfterValidator(_check_proxy)], ...], NoDecode] = ()
    # comma-separated in the environment
    api_keys: Annotated[tuple[Annotated[SecretStr, AfterValidator(_check_key)], ...], NoDecode] = ()
    keys_dir: Path | None = None  # of keys.json and webhooks.key; unset: the data folder, which workers see
    allow_open: bool = False  # serve others than this machine although no key is set
    rate: Rate | None = "600/minute"  # requests of a key that has no rate of its own
    quota: Rate | None = None  # jobs of a key that has no quota of its own
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()  # whose pages may call us with a key; comma-separated

    max_motion_bytes: Positive = 16 * MIB
    max_options_bytes: Positive = 64 * 1024

    max_connections: Positive = 1000  # open at once; fewer where the process may not open as many files
    header_timeout_s: Seconds = 10.0  # for a request's headers
    upload_timeout_s: Seconds = 300.0  # for a whole form
    stall_timeout_s: Seconds = 60.0  # for a client to take 64 kB of its answer

    max_portraits: Positive = 1000  # kept for one owner
    max_stored_bytes: Positive = 10 * GIB  # of files that one owner keeps: uploads, results, portraits
    max_record_bytes: Positive = 256 * MIB  # of Redis' memory that one owner's jobs take

    form_limit: Positive = 200  # forms that come in at once
    form_share: Positive = 8  # of these, one owner's
    follow_share: Positive = 50  # of one owner: streams of events and requests with Prefer: wait at once

    redis_max_bytes: Positive | None = None  # of memory, for the Redis that `serve` starts; unset: a quarter of all

    queue_limit: Positive = 100  # waiting jobs of one kind
    queue_share: Positive = 50  # of these, one owner's
    retry_after_s: Positive = 15
    max_wait_s: Seconds = 60.0
    ready_workers: Annotated[int, Field(ge=0)] = 0  # with fewer, /readyz answers 503; jobs are queued all the same
    webhook_private: bool = False  # webhooks may go to private addresses, and by plain HTTP
    webhook_timeout_s: Seconds = 15.0
    webhook_poll_s: Seconds = 0.5  # between looks for what is due
    # seconds between attempts, of which there is one more; comma-separated
    webhook_backoff: Annotated[tuple[Seconds, ...], NoDecode] = (5, 30, 120, 600, 1800, 7200, 21600)

    retention_s: Seconds = 24 * 3600.0
    canceled_retention_s: Seconds = 600.0  # of a canceled job, where that is shorter
    housekeeping_s: Seconds = 5.0
    resend_after_s: Seconds = 30.0  # a job's message that is missing as long was lost and is sent again

    @field_validator("api_keys", "cors_origins", "hosts", "trusted_proxies", "webhook_backoff", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(key.strip() for key in value.split(",") if key.strip()) if isinstance(value, str) else value

    @field_validator("keys_dir", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return value or None

    @property
    def keys_path(self) -> Path:
        """The file that holds the digests of the API keys."""
        return (self.keys_dir or self.data_dir) / "keys.json"

    @property
    def webhook_key_path(self) -> Path:
        """The file that holds what webhook secrets are derived from."""
        return (self.keys_dir or self.data_dir) / "webhooks.key"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the address we listen on, or that at which a container publishes it."""
        published = None if self.publish is None else self.publish.rpartition(":")[0].strip("[]")
        return is_loopback(self.host) or (published is not None and is_loopback(published))


def read_settings(**given: Any) -> Settings:
    """The environment's settings with those given in place of it. Raises InvalidSettingsError."""
    return read_from_environment(Settings, **given)
