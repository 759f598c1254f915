"""Animate a portrait: a motion sequence in, pictures out, a few at a time."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from model.animation.mouth import Mouth
from model.arrays import Floats, Landmarks
from model.engines import ENGINE_NAMES, Engine, EngineSettings, RenderedFrames, build_engine
from model.engines.eight_bits import read_eight_bit_calibration
from model.errors import EngineError, MotionSpaceError
from model.morphable import MorphableModel
from model.pictures import to_image
from model.renderer.network import PortraitState
from model.renderer.prior.prior import Heads, Prior, SourceFace
from model.renderer.released import load_renderer
from model.weights import RENDERER

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class PreparedFace:
    """A portrait's face and all that it alone decides; `heads` and `mouth` are None of a renderer that is not guided.

    Nothing of it changes any more, so several threads may use it at once.
    """

    face: SourceFace
    state: PortraitState
    heads: Heads | None = None
    mouth: Mouth | None = None


@dataclass(frozen=True, eq=False)
class Guidance:
    """What B frames are rendered by: descriptors (B, Z), and of a guided renderer also landmarks and prior.

    landmarks (B, 478, 3): those that the frames shall have, in crop units. prior: see `Engine.render`.
    """

    descriptors: Tensor
    landmarks: Landmarks | None = None
    prior: Tensor | None = None


class Animator:
    """A renderer with its engine and, when guided, the morphable model that gives its prior."""

    def __init__(
        self, engine: Engine, *, motion_space: str, morphable: MorphableModel | None = None, prior: Prior | None = None
    ) -> None:
        self.engine = engine
        self.motion_space = motion_space
        self.dimension = engine.network.config.motion_dimension
        self.window_radius = engine.network.config.window_radius  # frames on either side that one is drawn by
        self._morphable = morphable
        self.prior = prior
        self._guides = ThreadPoolExecutor(1, "guides")

    @classmethod
    def load(
        cls,
        *,
        engine: str = "auto",
        device: str = "auto",
        cache_directory: Path | None = None,
        name: str = RENDERER,
        directory: Path | None = None,
    ) -> Self:
        """Load the released renderer, or the weights NAME in `directory`, with the packaged morphable model.

        A guided one takes the skinning network from the same folder: it was trained over what that gives.

        engine, device and cache_directory are those of `EngineSettings`.

        Raises WeightsError: weights or card are missing, damaged or do not fit.
        Raises EngineError: the engine is unknown or this machine lacks it.
        """
        try:
            settings = EngineSettings(engine=engine, device=device, cache_directory=cache_directory)
        except ValidationError as error:
            raise EngineError(f"engine is {engine!r}; allowed are {', '.join(map(repr, ENGINE_NAMES))}") from error
        network, card = load_renderer(name, directory)
        built = build_engine(network, settings, calibration=read_eight_bit_calibration(card))
        if not network.config.guided:
            return cls(built, motion_space=card["motion_space"])
        morphable = MorphableModel.load()
        prior = Prior.load(morphable, directory)
        return cls(built, motion_space=card["motion_space"], morphable=morphable, prior=prior)

    @cached_property
    def low_latency(self) -> "Animator":
        """The same for one picture at a time, each as soon as it can be: see `Engine.low_latency`."""
        return Animator(
            self.engine.low_latency, motion_space=self.motion_space, morphable=self._morphable, prior=self.prior
        )

    def prepare(self, face: SourceFace) -> PreparedFace:
        """What is made once of a portrait, however often it is animated."""
        state = self.engine.prepare(to_image(face.image))
        if self.prior is None:
            return PreparedFace(face, state)
        return PreparedFace(face, state, self.prior.head_of(face), Mouth(face.image, face.landmarks))

    def animate(
        self, portrait: PreparedFace, motions: Floats, *, batch_size: int = 8, frames: Sequence[int] | None = None
    ) -> Iterator[RenderedFrames]:
        """Pictures of the portrait's size, in order and as `batches` of at most `batch_size`, of motions (T, D).

        With `frames` (numbers below T) only those are drawn; what surrounds them in time, `window_radius` frames on
        either side, still counts.

        Raises MotionSpaceError: the motions have another dimension than the renderer's, or a number that is not finite.
        """
        sequence = self._sequence(motions)
        described = self.engine.describe(sequence)
        if frames is not None:
            described, sequence = described[list(frames)], sequence[list(frames)]
        parts = batches(len(sequence), batch_size)
        guides = (partial(self._guide, portrait, sequence[part], described[part]) for part in parts)
        for guidance in ahead(self._guides, guides):
            yield self.render(portrait, guidance)

    def guide(self, portrait: PreparedFace, motion: Floats) -> Guidance:
        """What one picture of a still motion (D,) is rendered by. Raises MotionSpaceError: as `animate` does."""
        sequence = self._sequence(motion[None])
        return self._guide(portrait, sequence, self.engine.describe(sequence))

    def render(self, portrait: PreparedFace, guidance: Guidance) -> RenderedFrames:
        """The pictures that guidance for this portrait leads to."""
        drawn = self.engine.render_frames(portrait.state, guidance.descriptors, guidance.prior)
        if portrait.mouth is not None and guidance.landmarks is not None:
            portrait.mouth.paint(drawn, guidance.landmarks)
        return drawn

    def _sequence(self, motions: Floats) -> Tensor:
        if motions.ndim != 2 or motions.shape[1] != self.dimension:
            raise MotionSpaceError(
                f"motions have the shape {motions.shape}; {self.motion_space} wants (frames, {self.dimension})"
            )
        if not np.isfinite(motions).all():
            raise MotionSpaceError("motions hold NaN or infinity; allowed are finite numbers")
        return torch.from_numpy(np.ascontiguousarray(motions, dtype=np.float32))

    @torch.inference_mode()
    def _guide(self, portrait: PreparedFace, motions: Tensor, descriptors: Tensor) -> Guidance:
        face, heads = portrait.face, portrait.heads
        if self._morphable is None or self.prior is None or heads is None:
            return Guidance(descriptors)
        identity = torch.from_numpy(np.asarray(face.identity, np.float32))[None]
        target = self._morphable.move(heads.skin.landmarks[0], identity, heads.skin.motion[0], motions)
        prior = self.prior.guide(heads, target, motions, size=face.image.shape[0]).prior
        return Guidance(descriptors, target.numpy(), prior)


def batches(count: int, most: int) -> Iterator[slice]:
    """The parts of so many frames: of 2, 4, 8 and so on up to `most` frames, so that who uses them has work soon."""
    start, size = 0, 2
    while start < count:
        size = min(size, most)
        yield slice(start, min(start + size, count))
        start, size = start + size, 2 * size


def ahead(pool: ThreadPoolExecutor, calls: Iterator[Callable[[], T]], *, many: int = 1) -> Iterator[T]:
    """What calls return, in order; while one is used, the next `many` are under way in threads of the pool.

    Pools should live as long as the process: the allocator keeps for each new thread what it took.
    """
    coming = deque(pool.submit(call) for call in islice(calls, many))
    try:
        while coming:
            made = coming.popleft().result()
            coming.extend(pool.submit(call) for call in islice(calls, 1))
            yield made
    finally:
        wait(coming)  # what uses what a job holds shall not outlast it
