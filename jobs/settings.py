"""What front-end and workers must agree on: where jobs and files are, and how large uploads may be."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobs.redis_url import checked_redis_url

LEASE_S = 30.0
LIVE_S = 20
MIB = 1 << 20
SECRETS = Path("/run/secrets")  # where containers find settings as files, each named as its variable
GIB = 1 << 30

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class InvalidSettingsError(Exception):
    """A setting has a value that is not allowed; the text is one line that names it and the value got."""


class SharedSettings(BaseSettings):
    """Read by both ends from the same environment variables (prefix PIRENDERER_). An empty one counts as unset."""

    model_config = SettingsConfigDict(
        env_prefix="PIRENDERER_",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        secrets_dir=SECRETS if SECRETS.is_dir() else None,
    )

    redis_url: Annotated[str, AfterValidator(checked_redis_url)] = Field(
        default="redis://127.0.0.1:6379/0", validation_alias=AliasChoices("PIRENDERER_REDIS_URL", "REDIS_URL")
    )
    data_dir: Path = Path("data")
    weights_dir: Path | None = None  # unset: those that come with the package

    # with a bucket, artifacts lie there and not in the data folder; credentials are found as boto3 finds them
    s3_bucket: str | None = None
    s3_prefix: str = ""  # what the names of our objects begin with
    s3_endpoint_url: str | None = None  # unset: AWS
    s3_public_url: str | None = None  # where clients reach the endpoint, if elsewhere
    s3_region: str | None = None
    s3_url_lifetime_s: Annotated[int, Field(gt=0, le=7 * 24 * 3600)] = 300  # of addresses of results

    # with these, results are signed: a chain of certificates, the signer's own first, and its key, both PEM
    c2pa_certificate: Path | None = None
    c2pa_key: Path | None = None
    c2pa_algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = "es256"
    c2pa_timestamp_url: str | None = None  # an authority that says when it was signed (RFC 3161); asked for each result

    lease_s: Seconds = LEASE_S  # a job whose worker is not heard of for as long is queued again
    live_s: Positive = LIVE_S  # a worker that is not heard of for as long is not counted

    max_portrait_bytes: Positive = 20 * MIB
    max_pixels: Positive = 50_000_000
    max_audio_bytes: Positive = 50 * MIB
    max_audio_seconds: Seconds = 300.0
    max_video_bytes: Positive = 200 * MIB
    max_video_seconds: Seconds = 120.0
    max_seconds_before_face: Seconds = 30.0  # that a video may begin with, as a title: it is searched for a face
    max_archive_bytes: Positive = GIB  # of the images that one job makes

    @field_validator("s3_prefix")
    @classmethod
    def _as_folder(cls, value: str) -> str:
        return f"{value.strip('/')}/" if value.strip("/") else ""

    @property
    def artifacts_dir(self) -> Path:
        """The folder of the artifact store, where no bucket is set."""
        return self.data_dir / "artifacts"

    @property
    def scratch_dir(self) -> Path:
        """The folder of what is on its way to the bucket or comes from there."""
        return self.data_dir / "scratch"


AnySettings = TypeVar("AnySettings", bound=SharedSettings)


def read_from_environment(kind: type[AnySettings], **given: Any) -> AnySettings:
    """The environment's settings with those given in place of it. Raises InvalidSettingsError."""
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]).upper().removeprefix("PIRENDERER_")
        got = first.get("ctx", {}).get("got", first["input"])  # which may be fit to be shown where the input is not
        why = first["msg"].removeprefix("Value error, ")
        raise InvalidSettingsError(f"PIRENDERER_{name}: {why}, got {got!r}") from error
