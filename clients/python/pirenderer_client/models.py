"""What the service tells: jobs, their progress, results and events, and kept portraits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Generic, Literal, TypeVar

from pirenderer_client.errors import ServiceError, problem_error

Kind = Literal["image", "video", "motion"]
Status = Literal["queued", "running", "succeeded", "failed", "canceled", "expired"]

UNDER_WAY = ("queued", "running")
ENDS = {  # that leave no problem with the job: HTTP status and title, and what has become of it
    "canceled": (409, "The job was canceled", "was canceled and has no result"),
    "expired": (410, "The job has expired and its files are gone", "has expired"),
}
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
class File:
    """A file that the service keeps. Its size in bytes."""

    media_type: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Result(File):
    """What a job made. Sizes in pixels, `duration` in seconds."""

    width: int | None = None
    height: int | None = None
    images: int | None = None
    frames: int | None = None
    fps: float | None = None
    duration: float | None = None
    frames_without_face: int | None = None
    clamped: int | None = None


@dataclass(frozen=True)
class Portrait(File):
    """A portrait that the service keeps, which may be given instead of a file. Width and height in pixels.

    `expires_at`, as ISO 8601, is put off by each use.
    """

    id: str
    width: int
    height: int
    expires_at: str


@dataclass(frozen=True)
class Voice:
    """A voice, asked for by its `id`, with its language as a BCP 47 tag. None is what is not known."""

    id: str
    language: str | None
    gender: Literal["male", "female"] | None


@dataclass(frozen=True)
class Control:
    """A named control with its range in `unit`."""

    name: str
    group: str
    minimum: float
    maximum: float
    neutral: float
    unit: str
    description: str


@dataclass(frozen=True)
class MotionSpace:
    """A motion space: its name, the length of its vectors, its controls."""

    space: str
    dimension: int
    controls: tuple[Control, ...]


def motion_spaces(documents: Iterable[Mapping[str, Any]]) -> list[MotionSpace]:
    """Motion spaces with their controls."""
    return [
        known(MotionSpace, {**each, "controls": tuple(known(Control, control) for control in each["controls"])})
        for each in documents
    ]


@dataclass(frozen=True)
class WebhookAttempt:
    """What came of sending a message once: the HTTP `status` of the answer, or the `error` why none came.

    `at` is ISO 8601. A message that is "pending" is sent again, one that has "failed" is given up.
    """

    event: str
    url: str
    outcome: Literal["delivered", "pending", "failed"]
    at: str
    seconds: float
    status: int | None
    error: str | None


@dataclass(frozen=True)
class WebhookDelivery(WebhookAttempt):
    """An attempt to tell of a job; `attempt` counts those of its message, from 1."""

    job_id: str
    attempt: int


@dataclass(frozen=True)
class WebhookTest(WebhookAttempt):
    """What came of a test, which is sent once; `message_id` is its header `webhook-id`."""

    message_id: str


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
    def kind(self) -> Kind:
        """What it makes."""
        kind: Kind = self.document["kind"]
        return kind

    @property
    def status(self) -> Status:
        """How far it is, or how it ended."""
        status: Status = self.document["status"]
        return status

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
    def speech(self) -> File | None:
        """The sound that a video speaks with, until it expires. A job of a list tells of it after `refresh`."""
        document = (self.document.get("input") or {}).get("audio")
        return document and known(File, document)

    @property
    def error(self) -> ServiceError | None:
        """Why it failed."""
        problem = self.document.get("error")
        return problem and problem_error(problem)

    @property
    def ending(self) -> dict[str, Any] | None:
        """The problem of a job that was canceled or has expired."""
        if self.status not in ENDS:
            return None
        status, title, detail = ENDS[self.status]
        kind = f"{self._url}/problems/job-{self.status}"
        return {"type": kind, "title": title, "status": status, "detail": f"job {self.id} {detail}"}

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
    """A job did not succeed: it failed, was canceled ("job-canceled"), or has expired ("job-expired")."""

    def __init__(self, job: JobState[Any]) -> None:
        why = f": {job.error}" if job.error else ""
        super().__init__(f"job {job.id} {job.status}{why}", job.document.get("error") or job.ending)
        self.job = job
