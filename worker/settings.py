"""What workers accept and where they find things, from the environment (prefix PIRENDERER_, as for the front-end)."""

from pathlib import Path

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker.media.audio import AudioLimits
from worker.media.images import ImageLimits
from worker.media.video import VideoLimits

MIB = 1 << 20


class WorkerSettings(BaseSettings):
    """Settings of a worker. Names and defaults of the limits are the front-end's, which checks the sizes first."""

    model_config = SettingsConfigDict(env_prefix="PIRENDERER_", frozen=True, extra="ignore", populate_by_name=True)

    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0", validation_alias=AliasChoices("PIRENDERER_REDIS_URL", "REDIS_URL")
    )
    data_dir: Path = Path("data")
    weights_dir: Path | None = None  # unset: those that come with the package
    renderer: str = Field(default="renderer-guided-light", description="Name of the renderer's weights")
    engine: str = "auto"
    device: str = "auto"
    batch_size: int = Field(default=8, gt=0, description="Frames rendered at once")

    max_portrait_bytes: int = Field(default=20 * MIB, gt=0)
    max_pixels: int = Field(default=50_000_000, gt=0)
    max_audio_bytes: int = Field(default=50 * MIB, gt=0)
    max_audio_seconds: float = Field(default=300.0, gt=0)
    max_video_bytes: int = Field(default=200 * MIB, gt=0)
    max_video_seconds: float = Field(default=120.0, gt=0)

    @property
    def artifacts_dir(self) -> Path:
        """The folder of the artifact store."""
        return self.data_dir / "artifacts"

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
