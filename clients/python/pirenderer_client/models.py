"""What the service tells: jobs, their progress, results and events, and kept portraits."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from pirenderer_client.errors import ServiceError, problem_error

UNDER_WAY = ("queued", "running")
T = TypeVar("T")
AnyClient = TypeVar("AnyClient")


def known(model: type[T], document: Mapping[str, Any]) -> T:
    """A document as a data class. Fields of a newer service are left out."""
    names = {field.name for field in fields(model)}  # type: ignore[arg-type]  # all of them are data classes
    return model(**{name: value for name, value in document.items() if name in names})


@dataclass(frozen=True)
class Progress:
    """Where a running job is: the stage by name and, where it can be counted, how much of it is done."""

    stage: str
    done: int = 0
    total: int | None = None


@dataclass(frozen=True)
class Result:
    """What a job made. Sizes in pixels and bytes, `duration` in seconds."""

    media_type: str
    bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    images: int | None = None
    frames: int | None = None
    fps: float | None = None
    duration: float | None = None
    frames_without_face: int | None = None
    clamped: int | None = None


@dataclass(frozen=True)
class Portrait:
    """A portrait that the service keeps, which may be given instead of a file. Sizes in pixels.

    `expires_at`, as ISO 8601, is put off by each use.
    """

    id: str
    width: int
    height: int
    expires_at: str


@dataclass(frozen=True)
class Event:
    """What happened to a job: `name` is "status", "progress" or "segment"."""

    id: str
    name: str
    data: dict[str, Any]

    @property
    def ends(self) -> bool:
        """Whether the job has reached an end."""
        return self.name == "status" and self.data["status"] not in UNDER_WAY

    @property
    def progress(self) -> Progress | None:
        """What an event of that name tells."""
        return known(Progress, self.data) if self.name == "progress" else None


class JobState(Generic[AnyClient]):
    """A job as the service last told it; `document` is all that it said."""

    def __init__(self, client: AnyClient, url: str, document: dict[str, Any]) -> None:
        self._client = client
        self._url = url
        self.document = document

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.kind} {self.status}>"

    @property
    def id(self) -> str:
        """By which `client.job` finds it again."""
        return str(self.document["id"])

    @property
    def kind(self) -> str:
        """What it makes: "image", "video" or "motion"."""
        return str(self.document["kind"])

    @property
    def status(self) -> str:
        """One of "queued", "running", "succeeded", "failed", "canceled" and "expired"."""
        return str(self.document["status"])

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to it but its expiry."""
        return self.status not in UNDER_WAY

    @property
    def progress(self) -> Progress | None:
        """Where it is, while it runs."""
        document = self.document.get("progress")
        return document and known(Progress, document)

    @property
    def result(self) -> Result | None:
        """What it made, once it has succeeded."""
        document = self.document.get("result")
        return document and known(Result, document)

    @property
    def error(self) -> ServiceError | None:
        """Why it failed."""
        problem = self.document.get("error")
        return problem and problem_error(problem)

    @property
    def timings(self) -> dict[str, float]:
        """Seconds spent in each stage."""
        return dict(self.document.get("timings") or {})

    @property
    def metadata(self) -> dict[str, str]:
        """As it was sent with the job."""
        return dict(self.document.get("metadata") or {})

    @property
    def stream_url(self) -> str | None:
        """Of a video: an HLS playlist that plays while it is made. Players have to send the key, too."""
        return f"{self._url}/v1/jobs/{self.id}/stream.m3u8" if self.kind == "video" else None


class JobFailedError(ServiceError):
    """A job did not succeed: it failed, was canceled, or has expired."""

    def __init__(self, job: JobState[Any]) -> None:
        why = f": {job.error}" if job.error else ""
        super().__init__(f"job {job.id} {job.status}{why}", job.document.get("error"))
        self.job = job
