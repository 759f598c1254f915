"""Pictures of a live portrait, each as soon as it can be, and more of them than stages by themselves could draw."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, Self, TypeVar

import numpy as np

from model.arrays import Floats
from model.engines import RenderedFrames
from worker.live.threads import one_thread
from worker.make.canvas import PhotoCrop
from worker.media.images import encode_image
from worker.models import Models
from worker.workbench import PreparedPortrait

N = TypeVar("N")

DEPTH = 2  # one more would wait where two cores are busy: as many pictures a second, each of them later


class LivePictures(Generic[N]):
    """Draws a portrait's square crop by still motions, as an image job does, as JPEGs that are marked as synthetic.
    Beyond the photo they show a blur of it.

    Guides, network and pasting with encoding are stages with a thread each, so that they work on several pictures at
    once. `drawn` is called with each picture's note and JPEG, in order, from the last stage's thread; what it raises
    counts as an error of that stage. All else is for one thread at a time, and while there are live pictures no job may
    use the same models' renderer.

    Each motion is shown as if it were held. The window that a video has around a frame would need half a second of the
    future, and pictures without it are no less steady.
    """

    def __init__(
        self, models: Models, portrait: PreparedPortrait, *, size: int, quality: int, drawn: Callable[[N, bytes], None]
    ) -> None:
        """Draw a first picture that nobody sees, so that all is compiled and filled: seconds at the first time of all.

        size: side of the pictures in pixels. quality: of JPEG, 1..100. Raises what a stage may raise.
        """
        self._animator = models.animator.low_latency
        self._portrait = portrait.prepared
        self._canvas = PhotoCrop(portrait.photo, portrait.face, size)
        self._quality = quality
        self._drawn = drawn
        resting = np.zeros(self._animator.dimension, np.float32)
        self._jpeg(self._animator.render(self._portrait, self._animator.guide(self._portrait, resting)))
        self._stages = [one_thread("guides", alone=True), one_thread("network"), one_thread("pasting")]
        self._under_way: deque[Future[None]] = deque()

    def has_room(self, timeout: float | None = None) -> bool:
        """Wait until fewer than DEPTH pictures are under way, `timeout` seconds at most; whether that is so.

        Who then draws the newest motion draws none that has waited. Raises what a stage has raised.
        """
        while self._under_way and (len(self._under_way) >= DEPTH or self._under_way[0].done()):
            if not wait([self._under_way[0]], timeout).done:
                return False
            self._under_way.popleft().result()
        return True

    def draw(self, motion: Floats, note: N) -> None:
        """Hand over a motion (D,), which must not change any more; waits for room. Raises what a stage has raised."""
        self.has_room()
        guides, network, pasting = self._stages
        guidance = guides.submit(self._animator.guide, self._portrait, motion)
        rendered = network.submit(lambda: self._animator.render(self._portrait, guidance.result()))
        self._under_way.append(pasting.submit(lambda: self._drawn(note, self._jpeg(rendered.result()))))

    def finish(self) -> None:
        """Wait until all that is under way is drawn: then a job may use the models. Raises what a stage has raised."""
        while self._under_way:
            self._under_way.popleft().result()

    def close(self) -> None:
        """Finish, and end. Raises what a stage has raised."""
        try:
            self.finish()
        finally:
            for stage in self._stages:
                stage.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _jpeg(self, rendered: RenderedFrames) -> bytes:
        (animated,) = rendered
        return encode_image(self._canvas.paste(animated), "jpeg", quality=self._quality)
