"""Settings of workers, from the environment (prefix PIRENDERER_, as for front-ends).

Importing this loads no decoder: a front-end tells of workers' settings, too.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from jobs.kinds import KINDS, QUEUES
from jobs.schemas import JobKind
from jobs.settings import Positive, SharedSettings
from model.weights import RENDERER
from worker.media.limits import MOST_PIXELS, AudioLimits, ImageLimits, VideoLimits

DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


def checked_device(text: str) -> str:
    """The name of a device as it is. Raises ValueError for what is none."""
    if not DEVICE.fullmatch(text):
        raise ValueError("a device is auto, cpu, cuda or cuda:N")
    return text


def checked_queues(text: str) -> str:
    """Names of queues between commas as they are. Raises ValueError for others."""
    unknown = sorted({name.strip() for name in text.split(",") if name.strip()} - set(QUEUES))
    if unknown:
        raise ValueError(f"unknown queue {', '.join(unknown)}; allowed are {', '.join(QUEUES)}")
    return text


class WorkerSettings(SharedSettings):
    """What can be set of a worker; the limits are those that the front-end checks first."""

    renderer: str = Field(default=RENDERER, description="Name of the renderer's weights")
    engine: Literal["auto", "torch", "compiled", "openvino"] = Field(
        default="auto", description="What renders; auto: the fastest that this machine has"
    )
    device: Annotated[str, AfterValidator(checked_device)] = Field(
        default="auto",
        description="Where it renders: auto, cpu, cuda or cuda:N; of several GPUs one that no other worker has",
    )
    queues: Annotated[str, AfterValidator(checked_queues)] = Field(
        default="", description=f"What jobs are taken from, of {', '.join(QUEUES)}, comma-separated; unset: all of them"
    )
    batch_size: Positive = Field(default=8, description="Frames rendered at once")
    workers_per_job: Positive | None = Field(
        default=None, description="How many workers may work on one video at once; unset: as many as are free"
    )

    @property
    def kinds(self) -> tuple[JobKind, ...]:
        """The kinds of job whose queues are taken from, those that go before others first."""
        return tuple(
            sorted(
                (kind for kind in KINDS if KINDS[kind].queue in self.queue_names), key=lambda kind: KINDS[kind].priority
            )
        )

    @property
    def queue_names(self) -> tuple[str, ...]:
        """The queues that are taken from."""
        return tuple(name.strip() for name in self.queues.split(",") if name.strip()) or QUEUES

    @property
    def engine_cache_dir(self) -> Path:
        """The folder of what engines compile."""
        return self.data_dir / "engine-cache"

    @property
    def image_limits(self) -> ImageLimits:
        """For portraits and driving images."""
        return ImageLimits(bytes=self.max_portrait_bytes, pixels=self.max_pixels)

    @property
    def audio_limits(self) -> AudioLimits:
        """For speech; it may come as the sound of a video."""
        return AudioLimits(bytes=max(self.max_audio_bytes, self.max_video_bytes), seconds=self.max_audio_seconds)

    @property
    def video_limits(self) -> VideoLimits:
        """For driving videos."""
        return VideoLimits(bytes=self.max_video_bytes, seconds=self.max_video_seconds, pixels=MOST_PIXELS)
