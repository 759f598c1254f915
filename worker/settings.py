"""What workers accept and where they find things, from the environment (prefix PIRENDERER_, as for the front-end)."""

from pathlib import Path

from pydantic import Field

from jobs.settings import SharedSettings, read_from_environment
from model.weights import RENDERER
from worker.media.audio import AudioLimits
from worker.media.images import ImageLimits
from worker.media.video import VideoLimits


class WorkerSettings(SharedSettings):
    """Settings of a worker; the limits are those that the front-end checks first."""

    renderer: str = Field(default=RENDERER, description="Name of the renderer's weights")
    engine: str = "auto"
    device: str = "auto"
    batch_size: int = Field(default=8, gt=0, description="Frames rendered at once")

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
        return VideoLimits(bytes=self.max_video_bytes, seconds=self.max_video_seconds)


def read_worker_settings() -> WorkerSettings:
    """The environment's settings. Raises InvalidSettingsError."""
    return read_from_environment(WorkerSettings)
