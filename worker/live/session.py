"""One live session, from the worker's side: what came last is drawn, and nothing is drawn twice."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from redis import RedisError

from jobs.live import LiveOptions, LiveState, PictureHeader
from jobs.motion_spaces import checked_still
from jobs.problems import ProblemError
from jobs.store.live_streams import LiveEnd, LiveNews
from model.arrays import Floats
from model.audio import SpeechStyle
from model.errors import ModelError
from model.morphable.basis import MOTION_SPACE
from worker.live.camera import LiveCamera
from worker.live.drivers import CameraDriver, Driver, Moment, SoundDriver
from worker.live.hold import Hold
from worker.live.pictures import LivePictures
from worker.live.threads import one_thread
from worker.make.motions import still, within_reach_of
from worker.problems import problem_of
from worker.workbench import PreparedPortrait, Workbench

LOOK_S = 0.25  # between looks whether the session goes on and whether a job waits
READ_S = 0.2  # that the reader waits for news
AWAY_S = 0.2  # before a Redis that is away is asked again

Meanwhile = Callable[[Callable[[], AbstractContextManager[None]]], None]


class Note(NamedTuple):
    """What is told with a picture, but its number."""

    number: int | None
    at: float
    seen: bool


class LiveSession:
    """Draws a portrait as its client drives it, for as long as there is a hold on the session.

    The reader's thread takes what comes and lets drivers work it into motions; the thread of `run` draws the newest of
    them. `meanwhile` is called a few times a second, and may do a job that waits within the context that it is given.
    """

    def __init__(
        self,
        hold: Hold,
        bench: Workbench,
        subject: PreparedPortrait,
        options: LiveOptions,
        end: LiveEnd,
        *,
        meanwhile: Meanwhile,
    ) -> None:
        self._hold = hold
        self._bench = bench
        self._subject = subject
        self._options = options
        self._end = end
        self._meanwhile = meanwhile
        self._began = time.monotonic()
        self._news = threading.Condition()
        self._models = threading.Lock()  # of who uses them: the reader's drivers, or a job meanwhile
        self._fault: Exception | None = None
        # what the reader writes
        self._state = LiveState()
        self._asked: Floats = subject.face.motion  # by the state's motion
        self._driver: Driver | None = None
        self._driven, self._recentered, self._finishing = 0, 0, False  # as far as the driver was told of the state
        self._changed = True  # since the last picture
        self._moment: Moment | None = None  # of the driver, the newest that was drawn

    def run(self) -> None:
        """Render until it is over. Raises ProblemError and model.errors.ModelError: it cannot go on."""
        reader = one_thread("reader", alone=True)
        with self._drawing() as pictures:
            self._tell_started()
            reader.submit(self._read)
            try:
                looked = time.monotonic()
                while not self._hold.over.is_set():
                    if pictures.has_room(LOOK_S) and (next_ := self._next()) is not None:
                        pictures.draw(*next_)
                    if time.monotonic() > looked + LOOK_S:
                        self._meanwhile(partial(self._aside, pictures))
                        looked = time.monotonic()
            finally:
                self._hold.over.set()
                reader.shutdown()
                if self._driver is not None:
                    self._driver.close()
        if self._fault is not None:
            raise self._fault

    def _drawing(self) -> LivePictures[Note]:
        size, quality = self._options.size, self._options.quality
        return LivePictures(self._bench.models, self._subject, size=size, quality=quality, drawn=self._show)

    def _show(self, note: Note, jpeg: bytes) -> None:
        self._hold.pictures += 1
        header = PictureHeader(picture=self._hold.pictures, number=note.number, at=round(note.at, 3), seen=note.seen)
        with contextlib.suppress(RedisError):  # whoever looks on sees the next
            self._end.show(header, jpeg)

    @contextlib.contextmanager
    def _aside(self, pictures: LivePictures[Note]) -> Iterator[None]:
        """While a job is done, nothing else uses the models."""
        pictures.finish()
        self._tell("waiting", detail="its worker does a job first")
        with self._models:
            yield
        self._tell_started()

    def _next(self) -> tuple[Floats, Note] | None:
        """The motion to be drawn now; None after a while in which there was none."""
        with self._news:
            if not self._changed:
                due_s = None if self._driver is None else self._driver.next_s(time.monotonic())
                self._news.wait(LOOK_S if due_s is None else min(due_s, LOOK_S))
            changed, self._changed = self._changed, False
            state, asked, driver = self._state, self._asked, self._driver
        now = time.monotonic()
        moment = None if driver is None else driver.due(now)
        if moment is None and not changed:
            return None
        if driver is None:
            self._moment = None
        self._moment = moment or self._moment
        motion = self._on_top(asked)
        (target,), _ = within_reach_of(self._bench, self._subject.face, motion[None])
        at = now - self._began if self._moment is None else self._moment.at
        return target, Note(state.number, at, seen=self._moment is None or self._moment.seen)

    def _on_top(self, asked: Floats) -> Floats:
        """What is asked of the portrait, on top of what the driver does."""
        face = self._subject.face
        if self._moment is None:
            return asked
        change, driven = (asked - face.motion)[None], self._moment.motion[None]
        if self._bench.models.animator.motion_space != MOTION_SPACE:
            return np.asarray((driven + change)[0])
        return np.asarray(self._bench.models.controls.on_top(face.identity, face.motion, change, driven)[0])

    # The reader

    def _read(self) -> None:
        while not self._hold.over.is_set():
            try:
                news = self._end.read(READ_S)
                with self._models:
                    self._take(news, time.monotonic())
            except RedisError:
                time.sleep(AWAY_S)
            except (ProblemError, ModelError) as error:  # what came was wrong, and is left out
                with contextlib.suppress(RedisError):
                    self._end.tell_problem(problem_of(error))
                if isinstance(self._driver, CameraDriver) and self._driver.given_up:
                    self._end_with(error)
            except Exception as error:  # the edge of this thread
                self._end_with(error)
            with self._news:
                self._news.notify()

    def _end_with(self, error: Exception) -> None:
        """Let `run` raise it."""
        self._fault = error
        self._hold.over.set()

    def _take(self, news: LiveNews, now: float) -> None:
        if news.state is not None:
            asked = self._posed(news.state)
            with self._news:
                self._state, self._asked, self._changed = news.state, asked, True
        self._follow(now)
        if self._driver is not None and not self._finishing:
            self._driver.feed(news, now)

    def _posed(self, state: LiveState) -> Floats:
        face, models = self._subject.face, self._bench.models
        if state.motion is None:
            return face.motion
        return still(checked_still(state.motion, models.motion_spaces, "motion"), face, models.controls)

    def _follow(self, now: float) -> None:
        """Drive by what the state says, once the driver before has come to rest."""
        state = self._state
        if state.driven != self._driven:
            if self._driver is not None and not self._finishing:
                self._driver.finish(now)
                self._finishing = True
            if self._driver is None or self._driver.over_at(now):
                before, self._driver = self._driver, None
                if before is not None:
                    before.close()
                self._driven, self._recentered, self._finishing = state.driven, state.recentered, False
                self._driver = self._make_driver(state)
                self._changed = True
        elif state.recentered != self._recentered:
            self._recentered = state.recentered
            if isinstance(self._driver, CameraDriver):
                self._driver.recenter()

    def _make_driver(self, state: LiveState) -> Driver | None:
        face, models, options = self._subject.face, self._bench.models, state.options
        match state.by:
            case "sound":
                style = SpeechStyle(
                    seed=self._bench.seed if options.seed is None else options.seed,
                    **options.model_dump(exclude={"seed"}),
                )
                return SoundDriver(models.speech.live(face.motion, style, identity=face.identity))
            case "camera":
                return CameraDriver(LiveCamera(self._bench, face, options))
            case _:
                return None

    def _tell_started(self) -> None:
        size, space = self._options.size, self._bench.models.animator.motion_space
        self._tell("started", session=self._hold.claim.session_id, width=size, height=size, space=space)

    def _tell(self, kind: str, **fields: Any) -> None:
        with contextlib.suppress(RedisError):  # who waits for it learns from the pictures
            self._end.tell(json.dumps({"type": kind, **fields}))
