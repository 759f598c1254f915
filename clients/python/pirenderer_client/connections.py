"""What both clients do alike: the server's address and key, answers, broken connections, events and results."""

import hashlib
import json
import os
import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from pirenderer_client import calls
from pirenderer_client.calls import Call
from pirenderer_client.errors import ConnectionFailedError, ServiceError, answer_error, shown
from pirenderer_client.models import Event, File, JobState
from pirenderer_client.sse import EventParser

DEFAULT_URL = "http://127.0.0.1:8000"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
CONNECT_S = 10.0
PAUSE_S = 0.25  # before the first retry, twice as long before each further one
MAX_PAUSE_S = 30.0  # who is told to wait longer is told so
FORMATS = {"image": ("png", "jpeg", "webp"), "video": ("mp4", "webm", "gif", "webp")}  # that `options` may ask for
SUFFIXES = {".jpg": "jpeg"} | {f".{name}": name for names in (*FORMATS.values(), ("json", "zip")) for name in names}


class Server:
    """Where a service is and how it is asked. `retries` bounds how often in a row one thing is tried again."""

    def __init__(self, url: str | None, *, api_key: str | None, timeout: float, retries: int) -> None:
        """What is None is as the environment says. `timeout`: seconds in which nothing comes.

        Raises ServiceError: the address or the key can be none.
        """
        url = os.environ.get("PIRENDERER_URL") or DEFAULT_URL if url is None else url
        api_key = os.environ.get("PIRENDERER_API_KEY") if api_key is None else api_key
        address = _address(url)
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            raise ServiceError("the API key has characters that no key has; a key is printable ASCII")
        self.url = shown(address).rstrip("/")
        self.retries = retries
        self._timeout = timeout
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.options = {"base_url": url, "headers": headers, **self.strange_options(address)}

    def strange_options(self, url: httpx.URL) -> dict[str, Any]:
        """Options of a client that asks somebody else, and has no key."""
        return {
            "timeout": httpx.Timeout(self._timeout, connect=CONNECT_S),
            "trust_env": url.host not in LOOPBACK,  # a proxy cannot reach this machine's own addresses
        }

    @contextmanager
    def asked(self) -> Iterator[None]:
        """While the server is asked. Raises ConnectionFailedError for what httpx raises."""
        try:
            yield
        except httpx.RequestError as error:
            reason = f"{shown(error.request.url)}: {str(error) or type(error).__name__}"
            raise ConnectionFailedError(f"no answer from {reason}; is `pirenderer serve` running?") from error

    def answered(self, response: httpx.Response) -> Any:
        """The JSON of an answer that has been read. Raises ServiceError: it is an error or no JSON."""
        if not response.is_success:
            raise answer_error(response)
        try:
            return response.json() if response.content else None
        except ValueError as error:
            raise ServiceError(f"{shown(response.url)} answered no JSON; is that the service?") from error


def _address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
        if address.scheme in ("http", "https") and address.host and 0 < (address.port or 1) < 65536:
            return address
    except httpx.InvalidURL:
        pass
    raise ServiceError(f"{url!r} is no address of a server; allowed is http://HOST[:PORT], or https://")


class Attempts:
    """How often in a row something has failed, and whether it is worth another try."""

    def __init__(self, server: Server, *, repeatable: bool = True) -> None:
        self._most = server.retries if repeatable else 0
        self._failures = 0

    def succeeded(self) -> None:
        """Begin to count anew."""
        self._failures = 0

    def pause(self, failure: ServiceError, asked_s: float | None = None) -> float:
        """Seconds before the next try, `asked_s` if somebody asks for so many. Raises ServiceError: it was the last."""
        asked_s = asked_s if failure.retry_after is None else failure.retry_after
        if not failure.passes or self._failures == self._most or (asked_s or 0) > MAX_PAUSE_S:
            raise failure
        self._failures += 1
        backoff = PAUSE_S * 2.0 ** (self._failures - 1) * random.uniform(0.5, 1)  # noqa: S311 - it is no secret
        return max(asked_s or 0, backoff)


class Following:
    """Where one who follows a job is in its events: the job's end is `told`, and then the job is known as it ended."""

    def __init__(self, server: Server, job: JobState[Any]) -> None:
        self._job = job
        self._attempts = Attempts(server)
        self._parser = EventParser()
        self.told = self.ended = self._asked_after_end = False

    def call(self) -> Call:
        """What asks for the events that have not come yet."""
        self._parser = EventParser(self._parser.last_id)  # a line that was begun is of the connection before
        headers = {"Last-Event-ID": self._parser.last_id} if self._parser.last_id else {}
        return calls.about(self._job.id, "/events", headers=headers)

    def read(self, chunk: bytes) -> Iterator[Event]:
        """The events that end with these bytes."""
        for message in self._parser.feed(chunk):
            self._attempts.succeeded()
            event = Event(message.id, message.name, json.loads(message.data))
            self.told = self.told or event.ends
            yield event

    def closed(self) -> None:
        """The stream has ended. Raises ConnectionFailedError: the job, which has been asked for since, has not.

        If it has, the stream is opened once more, for the events that came in between.
        """
        if not self._job.finished:
            raise ConnectionFailedError(f"the events of job {self._job.id} ended before the job did")
        self.ended = self.told or self._asked_after_end
        self._asked_after_end = True

    def pause(self, failure: ServiceError) -> float:
        """Seconds before the stream is opened again. Raises ServiceError: it was the last try."""
        return self._attempts.pause(failure, self._parser.retry_s)


class Download:
    """A file of a job on its way into `file`, held against what the job says of it."""

    def __init__(self, file: BinaryIO, told: File) -> None:
        self._file = file
        self._told = told
        self._digest = hashlib.sha256()
        self._bytes = 0
        file.seek(0)
        file.truncate()

    def write(self, chunk: bytes) -> None:
        """Take the next bytes. Raises ServiceError: they are too many."""
        self._bytes += len(chunk)
        if self._bytes > self._told.bytes:
            raise ServiceError(f"the file has more than the {self._told.bytes} bytes that its job names")
        self._digest.update(chunk)
        self._file.write(chunk)

    def finish(self) -> None:
        """All has come. Raises ServiceError: it is not what was made."""
        if self._bytes < self._told.bytes:
            raise ConnectionFailedError(f"{self._bytes} of the file's {self._told.bytes} bytes came")
        if self._digest.hexdigest() != self._told.sha256:
            digests = f"{self._digest.hexdigest()}; its job names {self._told.sha256}"
            raise ServiceError(f"the SHA-256 of the file is {digests}")


def check_suffix(path: Path, job: JobState[Any]) -> None:
    """Refuse a path whose suffix is that of another format than a result's. Raises ValueError."""
    assert job.result is not None  # noqa: S101 - it has succeeded
    made = job.result.media_type.partition("/")[2]
    asked = SUFFIXES.get(path.suffix.lower(), made)
    if asked != made:
        allowed = " or ".join(suffix for suffix, name in SUFFIXES.items() if name == made)
        choice = {asked, made} <= {*FORMATS.get(job.kind, ())}
        hint = f'; options={{"format": "{asked}"}} asks for {path.suffix}' if choice else ""
        raise ValueError(f"{str(path)!r} for a result that is {job.result.media_type}; allowed is {allowed}{hint}")


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that is at `path` once all is written, and leaves nothing where it is not. Its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with beside.open("x+b") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
