"""What front-end and workers must agree on: where jobs and files are, and how large uploads may be."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1 << 20

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SharedSettings(BaseSettings):
    """Read by both ends from the same environment variables (prefix PIRENDERER_)."""

    model_config = SettingsConfigDict(env_prefix="PIRENDERER_", frozen=True, extra="ignore", populate_by_name=True)

    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0", validation_alias=AliasChoices("PIRENDERER_REDIS_URL", "REDIS_URL")
    )
    data_dir: Path = Path("data")
    weights_dir: Path | None = None  # unset: those that come with the package

    # with these, results are signed: a chain of certificates, the signer's own first, and its key, both PEM
    c2pa_certificate: Path | None = None
    c2pa_key: Path | None = None
    c2pa_algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = "es256"
    c2pa_timestamp_url: str | None = None  # an authority that says when it was signed (RFC 3161); asked for each result

    max_portrait_bytes: Positive = 20 * MIB
    max_pixels: Positive = 50_000_000
    max_audio_bytes: Positive = 50 * MIB
    max_audio_seconds: Seconds = 300.0
    max_video_bytes: Positive = 200 * MIB
    max_video_seconds: Seconds = 120.0

    @property
    def artifacts_dir(self) -> Path:
        """The folder of the artifact store."""
        return self.data_dir / "artifacts"
