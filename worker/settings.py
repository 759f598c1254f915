"""Settings of workers, from the environment (prefix PIRENDERER_, as for front-ends).

Importing this loads no decoder: a front-end tells of workers' settings, too.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from jobs.settings import Positive, SharedSettings
from model.weights import RENDERER
from worker.media.limits import MOST_PIXELS, AudioLimits, ImageLimits, VideoLimits

DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


def checked_device(text: str) -> str:
    """The name of a device as it is. Raises ValueError for what is none."""
    if not DEVICE.fullmatch(text):
        raise ValueError("a device is auto, cpu, cuda or cuda:N")
    return text


class WorkerSettings(SharedSettings):
    """What can be set of a worker; the limits are those that the front-end checks first."""

    renderer: str = Field(default=RENDERER, description="Name of the renderer's weights")
    engine: Literal["auto", "torch", "compiled", "openvino"] = Field(
        default="auto", description="What renders; auto: the fastest that this machine has"
    )
    device: Annotated[str, AfterValidator(checked_device)] = Field(
        default="auto", description="Where it renders: auto, cpu, cuda or cuda:N"
    )
    batch_size: Positive = Field(default=8, description="Frames rendered at once")

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
