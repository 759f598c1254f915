"""The front-end's part of a live session, for tests of workers."""

import asyncio
import json
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np

from jobs.files.keys import new_id
from jobs.live import LiveOptions, LiveSpec, LiveState
from jobs.messages import live_message
from jobs.motions import ControlsMotion
from jobs.schemas import InputFile
from jobs.store.jobs import JobStore
from jobs.store.live import VOUCH_S
from jobs.store.live_streams import LiveLine, LivePicture
from model.arrays import Pixels
from tests.support.processes import PATIENCE_S


class Viewer:
    """Opens a session, vouches for it, calls workers to it, says what it is told to, and keeps what comes."""

    def __init__(self, store: JobStore, redis_url: str, portrait: InputFile, **options: Any) -> None:
        self.session_id = new_id()
        self.portrait = portrait
        self.pictures: list[tuple[dict[str, Any], bytes]] = []
        self.told: list[dict[str, Any]] = []
        self.ended = False
        self.silent_s: float | None = None
        self._store = store
        self._spec = LiveSpec(owner="tests", portrait=portrait, options=LiveOptions(size=128, **options))
        self._state = LiveState()
        self._loop = asyncio.new_event_loop()
        self._closed = threading.Event()
        self._line = LiveLine.connect(redis_url, most=2)
        self._threads = [threading.Thread(target=self._follow), threading.Thread(target=self._vouch)]

    def __enter__(self) -> Self:
        self._store.live.open(self.session_id, self._spec, most=9, share=9)
        self.call()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        for thread in self._threads:
            thread.join()
        self._store.live.close(self.session_id)

    def call(self) -> None:
        """Call a worker."""
        self._store.send(live_message(self.session_id))

    def pose(self, number: int, **controls: float) -> None:
        """Set controls."""
        self.say(motion=ControlsMotion(controls=controls), number=number)

    def say(self, **changes: Any) -> None:
        """Change the state."""
        self._state = self._state.model_copy(update=changes)
        self._do(lambda line: line.set_state(self.session_id, self._state))

    def hear(self, pcm: bytes) -> None:
        """Hand over sound."""
        self._do(lambda line: line.hear(self.session_id, pcm))

    def look(self, jpeg: bytes) -> None:
        """Hand over a picture of a camera."""
        self._do(lambda line: line.look(self.session_id, jpeg))

    def shown(self, number: int | None) -> Pixels | None:
        """The last picture that shows a state."""
        found = [jpeg for header, jpeg in list(self.pictures) if header["number"] == number]
        return None if not found else decoded(found[-1])

    def types(self) -> list[str]:
        """Of the messages so far."""
        return [message["type"] for message in list(self.told)]

    def _do(self, what: Callable[[LiveLine], Any]) -> None:
        async def run() -> None:
            await what(self._line)

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(PATIENCE_S)

    def _follow(self) -> None:
        async def follow() -> None:
            async for each in self._line.follow(self.session_id):
                if self._closed.is_set():
                    break
                if isinstance(each, LivePicture):
                    self.pictures.append((json.loads(each.header), each.jpeg))
                elif each is not None:
                    self.told.append(json.loads(each.text))
                    self.ended = self.ended or each.ends
            await self._line.close()

        self._loop.run_until_complete(follow())
        self._loop.close()

    def _vouch(self) -> None:
        while not self._closed.wait(VOUCH_S / 4):
            self.silent_s = self._store.live.vouch(self.session_id)


def decoded(jpeg: bytes) -> Pixels:
    """A JPEG's pixels."""
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB), np.uint8)
