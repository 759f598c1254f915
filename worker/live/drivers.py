"""What moves a face in a live session besides its controls: what a microphone hears, or a camera sees.

A driver is fed from one thread and asked from another.
"""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from jobs.motions import MOTION_FPS
from jobs.store.live_streams import LiveNews
from model.arrays import Floats, Samples
from model.audio.live import LiveSpeech
from worker.live.camera import EASE_S, LiveCamera

SPARE_S = 0.04  # that a motion waits for its turn, since sound comes in pieces
HURRY = 0.02  # by which more time passes, so that what once came late is made good
MOST_AHEAD_S = 0.4  # of what is shown; more comes of a burst, and is hurried through


@dataclass(frozen=True)
class Moment:
    """The motion (D,) of a moment, `at` seconds of what drives; whether a face was `seen` that it is read from."""

    motion: Floats
    at: float
    seen: bool = True


class Driver(Protocol):
    """Says at each time how the face moves."""

    def feed(self, news: LiveNews, now: float) -> None:
        """Take what came for it at a time in seconds, before `finish`. Raises ProblemError: it cannot be read."""
        ...

    def due(self, now: float) -> Moment | None:
        """The newest moment whose time has come and that was not given yet."""
        ...

    def next_s(self, now: float) -> float | None:
        """In how many seconds the next is due; None where nobody knows."""
        ...

    def finish(self, now: float) -> None:
        """Let the face come to rest from now on."""
        ...

    def over_at(self, now: float) -> bool:
        """Whether it has come to rest, and nothing will be due any more."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class SoundDriver:
    """A face that says what is heard.

    Motions come in bursts, as sound does, and are shown at an even pace: SPARE_S after the latest of late was known.
    """

    def __init__(self, speech: LiveSpeech) -> None:
        self._speech = speech
        self._known: deque[Floats] = deque()
        self._shown = 0  # how many motions were given or passed over
        self._zero: float | None = None  # when the motion of the sound's beginning is to be shown
        self._added = 0.0  # when motions came last
        self._finished = False
        self._lock = threading.Lock()

    def feed(self, news: LiveNews, now: float) -> None:
        """See `Driver.feed`."""
        for pcm in news.sounds:
            motions = self._speech.hear(_samples(pcm))
            with self._lock:
                self._add(motions, now)

    def due(self, now: float) -> Moment | None:
        """See `Driver.due`."""
        with self._lock:
            if self._zero is None:
                return None
            motion = None
            while self._known and self._zero + self._shown / MOTION_FPS <= now:
                motion = self._known.popleft()
                self._shown += 1
            return None if motion is None else Moment(motion, (self._shown - 1) / MOTION_FPS)

    def next_s(self, now: float) -> float | None:
        """See `Driver.next_s`."""
        with self._lock:
            if not self._known or self._zero is None:
                return None
            return max(0.0, self._zero + self._shown / MOTION_FPS - now)

    def finish(self, now: float) -> None:
        """See `Driver.finish`."""
        motions = self._speech.rest()
        with self._lock:
            self._known.extend(motions)  # at the pace of before, though all of them are known at once
            self._finished = True

    def over_at(self, now: float) -> bool:
        """See `Driver.over_at`."""
        with self._lock:
            return self._finished and not self._known

    def close(self) -> None:
        """See `Driver.close`."""

    def _add(self, motions: Floats, now: float) -> None:
        if not len(motions):
            return
        self._known.extend(motions)
        newest = now + SPARE_S - (self._shown + len(self._known) - 1) / MOTION_FPS
        before = newest if self._zero is None else self._zero - HURRY * (now - self._added)
        self._zero = min(max(before, newest), newest + MOST_AHEAD_S)
        self._added = now


class CameraDriver:
    """A face that does what another does before a camera, and in the end eases to rest."""

    def __init__(self, camera: LiveCamera) -> None:
        self._camera = camera
        self._began: float | None = None
        self._newest: Moment | None = None  # that was not given yet
        self._finished_at: float | None = None
        self._lock = threading.Lock()

    def feed(self, news: LiveNews, now: float) -> None:
        """See `Driver.feed`."""
        if news.camera is None:
            return
        self._began = now if self._began is None else self._began
        at = now - self._began
        motion, seen = self._camera.read(news.camera, at)
        with self._lock:
            self._newest = Moment(motion, at, seen)

    @property
    def given_up(self) -> bool:
        """Whether no camera can have sent what came."""
        return self._camera.given_up

    def recenter(self) -> None:
        """Take how the person looks from now on as the new neutral."""
        self._camera.recenter()

    def due(self, now: float) -> Moment | None:
        """See `Driver.due`."""
        with self._lock:
            if self._finished_at is None:
                moment, self._newest = self._newest, None
                return moment
        if self._began is None:
            return None
        at = now - self._began
        return Moment(self._camera.rest(at), at, seen=False)

    def next_s(self, now: float) -> float | None:
        """See `Driver.next_s`."""
        with self._lock:
            if self._finished_at is None:
                return None if self._newest is None else 0.0
        return None if self.over_at(now) else 1 / MOTION_FPS

    def finish(self, now: float) -> None:
        """See `Driver.finish`."""
        with self._lock:
            self._finished_at = now

    def over_at(self, now: float) -> bool:
        """See `Driver.over_at`."""
        return self._finished_at is not None and (self._began is None or now > self._finished_at + EASE_S)

    def close(self) -> None:
        """See `Driver.close`."""
        self._camera.close()


def _samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
