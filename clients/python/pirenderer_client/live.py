"""Live sessions: a portrait that is seen while it is moved."""

import asyncio
import importlib
import itertools
import json
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, Self, TypedDict, TypeVar

import httpx

from pirenderer_client.connections import CONNECT_S, Attempts, Server
from pirenderer_client.errors import ConnectionFailedError, ServiceError, answer_error, problem_error, shown
from pirenderer_client.models import Portrait, known

PROTOCOL = "pirenderer.live.v1"
SOUND, CAMERA = b"\x01", b"\x02"  # what a binary message begins with
ENDED, REFUSED = 1000, 1008  # close codes after which nobody comes again
MOST_BYTES = 16 << 20  # of a picture
CLOSE_S = 2.0

By = Literal["controls", "sound", "camera"]
T = TypeVar("T")


class LiveOptions(TypedDict, total=False):
    """How a portrait is shown: `size` is the side of its square in pixels, `quality` that of JPEG, `face` which one."""

    size: int
    quality: int
    face: int | None


@dataclass(frozen=True)
class LivePicture:
    """A picture of a live session.

    `picture` counts them up. `number` is that of the newest controls or motion that it shows. `at` is its second of the
    sound, or since the session began; `seen` whether the camera saw a face.
    """

    jpeg: bytes
    picture: int
    number: int | None
    at: float
    seen: bool | None = None


class AsyncLive:
    """A live session. All that it does raises ServiceError.

    Iterated it gives pictures, to a slow reader the newest alone, until the service ends the session. What the service
    refuses, as a control out of range, is raised there; whoever iterates again goes on. A line that breaks is opened
    again, up to `retries` times in a row, and told what moved the face; what it was to hear or see meanwhile is lost.
    """

    def __init__(self, server: Server, portrait: Portrait, options: LiveOptions) -> None:
        """Raises ModuleNotFoundError: the extra is not installed."""
        try:
            self._websockets: Any = importlib.import_module("websockets")
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "live sessions need websockets, which pirenderer-client[live] brings: pip install websockets"
            ) from error
        self.waiting: str | None = None
        """Why no pictures come just now."""
        self._server = server
        self._start = json.dumps({"type": "start", "portrait_id": portrait.id, "options": options})
        self._standing: dict[str, str] = {}  # what each new line is told, by what it is about
        self._numbers = itertools.count(1)
        self._attempts = Attempts(server)
        self._line: Any = None  # that has been told all that stands
        self._sending = asyncio.Lock()
        self._news = asyncio.Event()
        self._begun = self._over = False
        self._picture: LivePicture | None = None  # that nobody has taken
        self._refusal: ServiceError | None = None  # that nobody has been told
        self._problem: ServiceError | None = None  # the newest
        self._failure: ServiceError | None = None  # why it is over

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_open())
        try:
            await self._beginning()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if (line := self._line) is not None:
            with suppress(self._websockets.ConnectionClosed, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await line.send(json.dumps({"type": "end"}))
                    await line.wait_closed()  # then the worker is free again
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LivePicture:
        while True:
            if refusal := self._refusal:
                self._refusal = None
                raise refusal
            if picture := self._picture:
                self._picture = None
                return picture
            if self._over:
                raise self._failure or StopAsyncIteration
            await self._more()

    async def controls(self, *, relative: bool = True, **controls: float) -> int:
        """All controls that are not at rest: `controls(yaw=10)`. A `number`: pictures of this or a later one show it.

        `relative`: on top of the portrait's own expression and pose, else instead of it.
        """
        return await self._move({"type": "controls", "controls": controls, "relative": relative})

    async def motion(self, motion: Mapping[str, Any]) -> int:
        """The same by a motion as the API has it."""
        return await self._move({"type": "motion", "motion": motion})

    async def drive(self, by: By, **options: float | None) -> None:
        """What moves the face besides: sound, a camera, or nothing but controls. Options as in the API."""
        await self._send(json.dumps({"type": "drive", "by": by, "options": options}), stands_for="drive")

    async def hear(self, sound: bytes) -> None:
        """Go on with the sound, as it is heard: 16 bit little-endian PCM, mono, at 16 kHz."""
        await self._send(SOUND + sound)

    async def look(self, jpeg: bytes) -> None:
        """Show a picture of the camera."""
        await self._send(CAMERA + jpeg)

    async def recenter(self) -> None:
        """Take how the person before the camera looks now for at rest."""
        await self._send(json.dumps({"type": "recenter"}))

    async def _move(self, message: dict[str, Any]) -> int:
        number = next(self._numbers)
        await self._send(json.dumps({**message, "number": number}), stands_for="state")
        return number

    async def _send(self, message: str | bytes, *, stands_for: str | None = None) -> None:
        async with self._sending:
            if self._over:
                raise self._ending()
            if stands_for and isinstance(message, str):
                self._standing[stands_for] = message
            if self._line is not None:
                with suppress(self._websockets.ConnectionClosed):  # who reads sees it, too, and opens another
                    await self._line.send(message)

    async def _beginning(self) -> None:
        """Wait until a worker has the session. Raises ServiceError: it is refused."""
        while not self._begun:
            if self._refusal or self._over:
                raise self._refusal or self._ending()
            await self._more()

    async def _more(self) -> None:
        """Wait for what is new."""
        self._news.clear()
        await self._news.wait()

    def _ending(self) -> ServiceError:
        return self._failure or ServiceError("the live session has ended")

    async def _keep_open(self) -> None:
        """Open a line and read it, again and again until the session is over."""
        try:
            while not self._over:
                try:
                    with self._asked():
                        await self._talk()
                except ServiceError as failure:
                    self.waiting = str(failure)
                    await asyncio.sleep(self._attempts.pause(failure))
        except ServiceError as failure:
            self._failure = failure
        finally:
            self._over = True
            self._news.set()

    async def _talk(self) -> None:
        """Over one line, until it is closed. Raises ServiceError."""
        secure, trust_env = self._url.scheme == "wss", self._server.options["trust_env"]
        async with self._websockets.connect(
            str(self._url),
            additional_headers=self._server.options["headers"],
            subprotocols=[PROTOCOL],
            ssl=httpx.create_ssl_context(trust_env=trust_env) if secure else None,
            proxy=True if trust_env else None,
            compression=None,
            max_size=MOST_BYTES,
            open_timeout=CONNECT_S,
            close_timeout=CLOSE_S,
        ) as line:
            async with self._sending:
                for message in (self._start, *self._standing.values()):
                    await line.send(message)
                self._line = line
            try:
                while True:
                    self._read(await line.recv())
            except self._websockets.ConnectionClosed:
                self._closed(line.close_code, line.close_reason)
            finally:
                self._line = None

    @property
    def _url(self) -> httpx.URL:
        url = httpx.URL(self._server.options["base_url"])
        return url.copy_with(scheme=url.scheme.replace("http", "ws"), path=f"{url.path.rstrip('/')}/v1/live")

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """While a line is open. Raises ServiceError for what websockets raises."""
        try:
            yield
        except self._websockets.InvalidStatus as error:
            told, request = error.response, httpx.Request("GET", self._url)
            raise answer_error(
                httpx.Response(told.status_code, headers=dict(told.headers), content=bytes(told.body), request=request)
            ) from error
        except (OSError, self._websockets.WebSocketException) as error:
            reason = f"{shown(self._url)}: {str(error) or type(error).__name__}"
            raise ConnectionFailedError(f"no line to {reason}; is `pirenderer serve` running?") from error

    def _read(self, message: str | bytes) -> None:
        """Take a message. Raises ServiceError: it is none of this protocol."""
        try:
            if isinstance(message, bytes):
                end = 2 + int.from_bytes(message[:2], "big")
                self._picture = known(LivePicture, {**json.loads(message[2:end]), "jpeg": message[end:]})
                self._attempts.succeeded()
            else:
                self._told(json.loads(message))
        except (ValueError, TypeError, KeyError) as error:
            raise ServiceError(f"{shown(self._url)} says what is not of {PROTOCOL}; is that the service?") from error
        self._news.set()

    def _told(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "started":
                self._begun, self.waiting = True, None
            case "waiting":
                self.waiting = message["detail"]
            case "problem":
                self._refusal = self._problem = problem_error(message["problem"])

    def _closed(self, code: int | None, reason: str | None) -> None:
        """A line was closed. Raises ConnectionFailedError: another is worth a try."""
        if code not in (ENDED, REFUSED):
            raise ConnectionFailedError(f"the line to {shown(self._url)} broke: {code} {reason or ''}".rstrip())
        self._over, self._refusal = True, None
        if code == REFUSED:
            self._failure = self._problem or ServiceError(f"the live session was ended: {reason or code}")


class Live:
    """The same for those who wait: an AsyncLive in a thread of its own. It may be shared by threads."""

    def __init__(self, server: Server, portrait: Portrait, options: LiveOptions) -> None:
        """Raises ModuleNotFoundError: the extra is not installed."""
        self._live = AsyncLive(server, portrait, options)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="live session", daemon=True)
        self._thread.start()
        try:
            self._wait(self._live.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._wait(self._live.__aexit__())
        self._stop()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> LivePicture:
        try:
            return self._wait(self._live.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    @property
    def waiting(self) -> str | None:
        """Why no pictures come just now."""
        return self._live.waiting

    def controls(self, *, relative: bool = True, **controls: float) -> int:
        """All controls that are not at rest: `controls(yaw=10)`. A `number`: pictures of this or a later one show it.

        `relative`: on top of the portrait's own expression and pose, else instead of it.
        """
        return self._wait(self._live.controls(relative=relative, **controls))

    def motion(self, motion: Mapping[str, Any]) -> int:
        """The same by a motion as the API has it."""
        return self._wait(self._live.motion(motion))

    def drive(self, by: By, **options: float | None) -> None:
        """What moves the face besides: sound, a camera, or nothing but controls. Options as in the API."""
        self._wait(self._live.drive(by, **options))

    def hear(self, sound: bytes) -> None:
        """Go on with the sound, as it is heard: 16 bit little-endian PCM, mono, at 16 kHz."""
        self._wait(self._live.hear(sound))

    def look(self, jpeg: bytes) -> None:
        """Show a picture of the camera."""
        self._wait(self._live.look(jpeg))

    def recenter(self) -> None:
        """Take how the person before the camera looks now for at rest."""
        self._wait(self._live.recenter())

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            coroutine.close()
            raise ServiceError("the live session has ended")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
