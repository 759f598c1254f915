"""What front-end and workers must agree on: where jobs and files are, and how large uploads may be."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from jobs.errors import UnusableError
from jobs.image_headers import MAX_SIDE
from jobs.redis_url import checked_redis_url
from jobs.regular_files import read_regular

LEASE_S = 30.0
LIVE_S = 20
MIB = 1 << 20
GIB = 1 << 30
PREFIX = "PIRENDERER_"  # of every variable
FILE = "_FILE"  # behind a variable's name: the file in which its value stands
SECRETS = Path("/run/secrets")  # where containers find settings as files, each named as its variable

LogLevel = Literal["debug", "info", "warning", "error"]
Positive = Annotated[int, Field(gt=0)]
MOST_S = 1_000_000_000  # thirty years; what is much longer is beyond what timers, Redis and dates can count
Seconds = Annotated[float, Field(gt=0, le=MOST_S, allow_inf_nan=False)]
WholeSeconds = Annotated[int, Field(gt=0, le=MOST_S)]


class InvalidSettingsError(UnusableError):
    """A setting has a value that is not allowed; the text is one line that names it and the value got."""


class FilesOfVariables(EnvSettingsSource):
    """The settings that stand in files: PIRENDERER_NAME_FILE is the path of the value of PIRENDERER_NAME.

    Making one raises InvalidSettingsError: both are set, or a file has no value.
    """

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        values = {}
        for field in settings_cls.model_fields:
            variable = f"{PREFIX}{field}".upper()
            if path := self.env_vars.get((variable + FILE).lower()):
                if variable.lower() in self.env_vars:
                    raise InvalidSettingsError(f"{variable} and {variable}{FILE} are both set; only one may be")
                values[variable.lower()] = _value_in(variable + FILE, Path(path))
        self.env_vars = values


def _value_in(variable: str, path: Path) -> str:
    try:
        content = read_regular(path)
    except OSError as error:
        raise InvalidSettingsError(f"{variable}: {path} cannot be read: {error.strerror}") from error
    try:
        value = re.sub(r"\r?\n\Z", "", content.decode())  # editors and `echo` end every file so
    except UnicodeDecodeError:
        raise InvalidSettingsError(f"{variable}: {path} is not text in UTF-8") from None  # the cause has the bytes
    if not value:  # not as if it were unset: who names a file of keys does not mean that there are none
        raise InvalidSettingsError(f"{variable}: {path} is empty; unset the variable if it is not needed")
    return value


class SharedSettings(BaseSettings):
    """Read by both ends from the same environment variables (prefix PIRENDERER_). An empty one counts as unset."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        secrets_dir=SECRETS if SECRETS.is_dir() else None,
    )

    redis_url: Annotated[str, AfterValidator(checked_redis_url)] = Field(
        default="redis://127.0.0.1:6379/0",
        validation_alias=AliasChoices("PIRENDERER_REDIS_URL", "REDIS_URL"),
        description="Redis of jobs and queues: redis://, rediss:// or unix://. REDIS_URL is read as well. "
        "Unset, `serve` starts one of its own",
    )
    data_dir: Path = Field(default=Path("data"), description="Folder of files, keys and what engines compile")
    weights_dir: Path | None = Field(default=None, description="Folder of weights; unset: those of the package")

    log_level: LogLevel = Field(default="info", description="The least important lines that are logged")

    s3_bucket: str | None = Field(
        default=None, description="S3 bucket of the files, in place of the data folder. boto3 finds the credentials"
    )
    s3_prefix: str = Field(default="", description="What the names of our objects in the bucket begin with")
    s3_endpoint_url: str | None = Field(default=None, description="The S3 server; unset: AWS")
    s3_public_url: str | None = Field(
        default=None, description="Where clients reach the S3 server; unset: the same address"
    )
    s3_region: str | None = Field(default=None, description="Region of the S3 bucket")
    s3_url_lifetime_s: Annotated[int, Field(gt=0, le=7 * 24 * 3600)] = Field(
        default=300, description="Life of the signed addresses of results, in seconds"
    )

    c2pa_certificate: Path | None = Field(
        default=None,
        description="PEM file with the certificate that signs results, then those above it; unset: they are not signed",
    )
    c2pa_key: Path | None = Field(default=None, description="PEM file with the key of that certificate")
    c2pa_algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = Field(
        default="es256", description="Algorithm of the signature"
    )
    c2pa_timestamp_url: str | None = Field(
        default=None, description="Authority that tells the time of each signature (RFC 3161); unset: nobody is asked"
    )

    max_portrait_bytes: Positive = Field(default=20 * MIB, description="Size of an image that is sent, in bytes")
    max_pixels: Annotated[int, Field(gt=0, le=MAX_SIDE**2)] = Field(
        default=50_000_000, description="Pixels of an image that is sent"
    )
    max_audio_bytes: Positive = Field(default=50 * MIB, description="Size of a sound that is sent, in bytes")
    max_audio_seconds: Seconds = Field(default=300.0, description="Length of a sound that is sent, in seconds")
    max_video_bytes: Positive = Field(default=200 * MIB, description="Size of a video that is sent, in bytes")
    max_video_seconds: Seconds = Field(default=120.0, description="Length of a video that is sent, in seconds")
    max_seconds_before_face: Seconds = Field(
        default=30.0, description="How long a video may show no face when it begins, in seconds"
    )
    max_archive_bytes: Positive = Field(
        default=GIB, description="Size of all images that one job makes, or of its webm, gif or animated webp, in bytes"
    )

    lease_s: Seconds = Field(
        default=LEASE_S, description="A job is queued again when its worker is not heard of for so many seconds"
    )
    live_s: WholeSeconds = Field(
        default=LIVE_S, description="A worker counts as gone when it is not heard of for so many seconds"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given goes before files that variables name, these before variables and the folder of secrets."""
        return init_settings, FilesOfVariables(settings_cls), env_settings, dotenv_settings, file_secret_settings

    @field_validator("weights_dir")
    @classmethod
    def _as_it_is_now(cls, value: Path | None) -> Path | None:
        # all weights that a process reads are of one folder, though a link to it is changed meanwhile
        return None if value is None else value.resolve()

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


def read_settings(cls: type[AnySettings], **given: Any) -> AnySettings:
    """The environment's settings with those given in place of it. Raises InvalidSettingsError."""
    try:
        return cls(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]).upper().removeprefix(PREFIX)
        why = first["msg"].removeprefix("Value error, ")
        path = None if name.lower() in given else _set_in_environment(f"{PREFIX}{name}{FILE}")
        if path is not None:  # it may be any file, by mistake, so what stands in it is not shown
            raise InvalidSettingsError(f"{PREFIX}{name}{FILE}: {why}; it stands in {path}") from error
        got = first.get("ctx", {}).get("got", first["input"])  # which may be fit to be shown where the input is not
        raise InvalidSettingsError(f"{PREFIX}{name}: {why}, got {got!r}") from error


def _set_in_environment(variable: str) -> str | None:
    return next((value for name, value in os.environ.items() if name.upper() == variable and value), None)


def put_in_environment(variable: str, value: str) -> None:
    """Set a variable for this process and its children in place of whatever says it now."""
    for name in [name for name in os.environ if name.upper() in (variable, variable + FILE)]:
        del os.environ[name]
    os.environ[variable] = value
