"""Settings of the front-end, from the environment (prefix PIRENDERER_)."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import NoDecode

from service.jobs.settings import MIB, Positive, Seconds, SharedSettings
from service.keys import Rate


class InvalidSettingsError(Exception):
    """A setting has a value that is not allowed; the text names it and the value got."""


class Settings(SharedSettings):
    """What can be set. Every limit is checked before, or while, the thing it bounds is read."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()  # comma-separated in the environment
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

    queue_limit: Positive = 100  # waiting jobs of one kind
    queue_share: Positive = 50  # of these, one owner's
    retry_after_s: Positive = 15
    max_wait_s: Seconds = 60.0
    ready_workers: Annotated[int, Field(ge=0)] = 0  # with fewer, /readyz answers 503; jobs are queued all the same
    webhook_private: bool = False  # webhooks may go to private addresses, and by plain HTTP
    webhook_timeout_s: Seconds = 15.0
    # seconds between attempts, of which there is one more; comma-separated
    webhook_backoff: Annotated[tuple[Seconds, ...], NoDecode] = (5, 30, 120, 600, 1800, 7200, 21600)

    retention_s: Seconds = 24 * 3600.0
    housekeeping_s: Seconds = 5.0

    @field_validator("api_keys", "cors_origins", "webhook_backoff", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(key.strip() for key in value.split(",") if key.strip()) if isinstance(value, str) else value

    @property
    def keys_path(self) -> Path:
        """The file that holds the digests of the API keys."""
        return self.data_dir / "keys.json"

    @property
    def webhook_key_path(self) -> Path:
        """The file that holds what webhook secrets are derived from."""
        return self.data_dir / "webhooks.key"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the address we listen on."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_settings(**given: Any) -> Settings:
    """The environment's settings with those given in place of it. Raises InvalidSettingsError."""
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]).upper().removeprefix("PIRENDERER_")
        raise InvalidSettingsError(f"PIRENDERER_{name}: {first['msg']}, got {first['input']!r}") from error
