"""Settings of front-ends, from the environment (prefix PIRENDERER_)."""

import contextlib
import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode, SettingsConfigDict

from jobs.settings import GIB, MIB, Positive, Seconds, SharedSettings, WholeSeconds
from jobs.store.rates import Rate

MAX_VOICE_CHARACTERS = 128  # of a voice's name, and of a model's
KEY_CHARACTERS = 32  # as many hexadecimal digits are 128 random bits
LABEL = "[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?"
HOST_NAME = re.compile(rf"{LABEL}(\.{LABEL})*")
AUTHORITY = re.compile(r"([a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?")
ORIGIN = re.compile(rf"\*|https?://{AUTHORITY.pattern}")
SEGMENT = "[A-Za-z0-9._~-]+"
PUBLIC_URL = re.compile(rf"https?://{AUTHORITY.pattern}(/{SEGMENT})*")
SPEECH_URL = re.compile(rf"https?://{AUTHORITY.pattern}(/{SEGMENT})*/?", re.IGNORECASE)
ROOT_PATH = re.compile(rf"(/(?!(v1|web|problems)(/|$)){SEGMENT}(/{SEGMENT})*)?")


def _check_rate(text: str) -> str:
    Rate.parse(text)
    return text


RateText = Annotated[str, AfterValidator(_check_rate)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_VOICE_CHARACTERS)]


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


def _check_token(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if not (text.isascii() and text.isprintable() and " " not in text):  # else it would be no header, and be shown
        raise PydanticCustomError("token", "a key is printable ASCII without spaces", {"got": "one that is not"})
    return token


def _check_speech_url(text: str) -> str:
    """The address of a server as its API's, which ends in /v1."""
    with contextlib.suppress(ValueError):  # of a port that is too large
        if SPEECH_URL.fullmatch(text) and urlsplit(text).port != 0:
            return f"{text.rstrip('/').removesuffix('/v1')}/v1"
    raise PydanticCustomError(
        "speech_url",
        "it is http://HOST[:PORT][/PATH], or https://, without a user; PIRENDERER_TTS_KEY has the key",
        {"got": "what is not"},  # for it may have a password in it
    )


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


def _check_origin(text: str) -> str:
    if not ORIGIN.fullmatch(text):
        raise ValueError("an origin is * or a scheme, a host and a port (https://studio.example:8443), without a path")
    return text


def _check_root_path(text: str) -> str:
    path = text.rstrip("/")
    if not ROOT_PATH.fullmatch(path):
        raise ValueError("it is a path as /portraits, but not /v1, /web or /problems")
    return path


def _check_public_url(text: str) -> str:
    url = text.rstrip("/")
    if not PUBLIC_URL.fullmatch(url):
        raise ValueError(
            "it is http:// or https:// and a host in lower case, with a port and a path if need be "
            "(https://api.example/portraits), without user, query and fragment"
        )
    return url


class Settings(SharedSettings):
    """What can be set. Every limit is checked before, or while, the thing it bounds is read."""

    model_config = SettingsConfigDict(hide_input_in_errors=True)  # keys

    host: Annotated[str, AfterValidator(_check_host)] = Field(default="127.0.0.1", description="Address to listen on")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(default=8000, description="Port to listen on; 0: any free one")
    api_processes: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="Processes of the front-end, which share its socket and its bounds"
    )
    publish: str | None = Field(
        default=None, description="For containers: where the port is published, as ADDRESS:PORT or PORT"
    )
    hosts: Annotated[tuple[Annotated[str, AfterValidator(_check_host)], ...], NoDecode] = Field(
        default=(),
        description="Names and addresses, without ports, that it is asked by while there are no keys, beside its own",
    )
    root_path: Annotated[str, AfterValidator(_check_root_path)] = Field(
        default="", description="Path that a proxy serves it under, as /portraits"
    )
    public_url: Annotated[str, AfterValidator(_check_public_url)] | None = Field(
        default=None,
        description="What clients reach it under, as https://api.example/portraits; unset: as each request says",
    )
    trusted_proxies: Annotated[tuple[Annotated[str, AfterValidator(_check_proxy)], ...], NoDecode] = Field(
        default=(), description="Addresses and networks whose X-Forwarded-For and -Proto are believed"
    )

    api_keys: Annotated[tuple[Annotated[SecretStr, AfterValidator(_check_key)], ...], NoDecode] = Field(
        default=(),
        description=f"Keys of {KEY_CHARACTERS} characters or more, each an owner's, beside those of `keys make`",
    )
    keys_dir: Path | None = Field(
        default=None, description="Folder of keys.json and webhooks.key; unset: the data folder, which workers see"
    )
    allow_open: bool = Field(default=False, description="Serve others than this machine although there is no key")
    rate: RateText | None = Field(
        default="600/minute",
        description="Requests of a key that has no rate of its own: N/second, /minute, /hour, /day",
    )
    quota: RateText | None = Field(
        default=None, description="Jobs of a key that has no quota of its own, as a rate; unset: any number"
    )
    cors_origins: Annotated[tuple[Annotated[str, AfterValidator(_check_origin)], ...], NoDecode] = Field(
        default=(), description="Origins whose pages may call it with a key"
    )

    max_motion_bytes: Positive = Field(default=16 * MIB, description="Size of a motion that is sent, in bytes")
    max_options_bytes: Positive = Field(default=64 * 1024, description="Size of a job's options, in bytes")

    max_connections: Positive = Field(
        default=1000, description="Connections at once; fewer where the process may not open as many files"
    )
    header_timeout_s: Seconds = Field(default=10.0, description="Time for a request's headers, in seconds")
    upload_timeout_s: Seconds = Field(default=300.0, description="Time for a whole form, in seconds")
    stall_timeout_s: Seconds = Field(
        default=60.0, description="Time for a client to take 64 kB of an answer, in seconds"
    )

    max_portraits: Positive = Field(default=1000, description="Portraits that one owner keeps")
    max_stored_bytes: Positive = Field(
        default=10 * GIB, description="Files that one owner keeps (uploads, results, portraits), in bytes"
    )
    max_record_bytes: Positive = Field(
        default=256 * MIB, description="Memory of Redis that one owner's jobs take, in bytes"
    )

    form_limit: Positive = Field(default=200, description="Forms that come in at once")
    form_share: Positive = Field(default=8, description="Of these, one owner's")
    follow_share: Positive = Field(
        default=50, description="Streams of events and requests that wait of one owner, at once"
    )

    live_workers: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="Workers that may be in live sessions at once; 0: there are none; unset: all but one, and the one "
        "where there is no other",
    )
    live_waiting: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Live sessions that may wait for workers that have yet to start, where workers are added as more "
        "are wanted",
    )
    live_share: Positive = Field(default=2, description="Of these, one owner's")
    live_idle_s: Seconds = Field(
        default=60.0,
        description="A live session that a worker has and in which the client says nothing for so many seconds ends",
    )
    live_wait_s: Seconds = Field(default=20.0, description="Time for a worker to take a live session, in seconds")

    redis_max_bytes: Positive | None = Field(
        default=None, description="Memory of the Redis that `serve` starts, in bytes; unset: a quarter of the machine's"
    )

    queue_limit: Positive = Field(default=100, description="Jobs of one kind that wait at once")
    queue_share: Positive = Field(default=50, description="Of these, one owner's")
    retry_after_s: WholeSeconds = Field(
        default=15, description="When to ask again, as answers say that refuse a job for want of room, in seconds"
    )
    max_wait_s: Seconds = Field(default=60.0, description="Longest that a request may wait for its job, in seconds")
    ready_workers: Annotated[int, Field(ge=0)] = Field(
        default=0, description="With fewer workers /readyz answers 503; jobs are queued all the same"
    )

    fetch: bool = Field(default=True, description="Inputs may be given by their addresses, which are then fetched")
    fetch_private: bool = Field(
        default=False, description="Inputs may be fetched from private addresses, and by plain HTTP"
    )
    fetch_timeout_s: Seconds = Field(default=60.0, description="Time to fetch an input from its address, in seconds")
    tts_url: Annotated[str, AfterValidator(_check_speech_url)] | None = Field(
        default=None,
        description="Server that speaks texts by OpenAI's API, as https://api.openai.com/v1; unset: espeak-ng does, "
        "where it is installed",
    )
    tts_key: Annotated[SecretStr, AfterValidator(_check_token)] | None = Field(
        default=None, description="Key of that server, if it needs one"
    )
    tts_model: Name = Field(default="tts-1", description="Model that it is asked for")
    tts_voice: Name | None = Field(
        default=None,
        description="Voice of texts that name none; unset: of espeak-ng en, of a server the first of "
        "PIRENDERER_TTS_VOICES, else alloy",
    )
    tts_voices: Annotated[tuple[Name, ...], NoDecode] = Field(
        default=(), description="Voices that the server may be asked for; unset: any"
    )
    tts_timeout_s: Seconds = Field(default=120.0, description="Time for a text to be spoken, in seconds")
    max_text_characters: Positive = Field(default=4096, description="Length of a text to be spoken, in characters")

    webhook_private: bool = Field(default=False, description="Webhooks may go to private addresses, and by plain HTTP")
    webhook_timeout_s: Seconds = Field(default=15.0, description="Time for a receiver's whole answer, in seconds")
    webhook_backoff: Annotated[tuple[Seconds, ...], NoDecode] = Field(
        default=(5, 30, 120, 600, 1800, 7200, 21600),
        description="Seconds between attempts to send a webhook, of which there is one more",
    )
    webhook_poll_s: Seconds = Field(default=0.5, description="Seconds between looks for webhooks that are due")

    retention_s: Seconds = Field(
        default=24 * 3600.0, description="How long an ended job or an unused portrait is kept, in seconds"
    )
    canceled_retention_s: Seconds = Field(
        default=600.0, description="The same of a canceled job, where it is shorter, in seconds"
    )
    housekeeping_s: Seconds = Field(default=5.0, description="Seconds between looks for what is to be tidied up")
    resend_after_s: Seconds = Field(
        default=30.0, description="A message of a waiting job that is missing is sent again after so many seconds"
    )

    @field_validator(
        "api_keys", "cors_origins", "hosts", "trusted_proxies", "tts_voices", "webhook_backoff", mode="before"
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(key.strip() for key in value.split(",") if key.strip()) if isinstance(value, str) else value

    @field_validator("keys_dir", "public_url", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return value or None

    @property
    def base(self) -> str:
        """What addresses begin with where no request says how it came to us."""
        return self.public_url or self.root_path

    @property
    def local_url(self) -> str:
        """Where this machine itself reaches what listens on host and port."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - not bound here
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

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
