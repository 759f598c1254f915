"""A job as the store holds it, and how it is read from a Redis hash."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from fractions import Fraction

from pydantic import BaseModel, ConfigDict, ValidationError

from jobs.documents import Document
from jobs.problems import Problem
from jobs.schemas import JOB_SPEC, Job, JobInput, JobKind, JobSpec, JobStatus, Progress, Result, Urls
from jobs.store.names import JOIN, TIMING_PREFIX, Mixed
from jobs.webhooks import WebhookState


class JobRecord(BaseModel):
    """All that is known of a job; its specification, which can be large, only where it was asked for and is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: JobKind
    owner: str
    status: JobStatus
    number: int
    deliveries: int
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    deadline: datetime | None = None
    cancel_requested: bool = False
    queue_position: int | None = None
    estimated_wait_s: float | None = None
    progress: Progress | None = None
    timings: dict[str, float] = {}
    error: Problem | None = None
    result: Result | None = None
    result_key: str | None = None
    request_id: str | None = None
    traceparent: str | None = None
    base_url: str | None = None
    webhook: WebhookState | None = None
    metadata: dict[str, str] = {}
    spec: JobSpec | None = None

    @classmethod
    def from_hash(
        cls,
        fields: Mapping[str, str],
        queue_position: int | None = None,
        estimated_wait_s: float | None = None,
        spec: str | None = None,
    ) -> "JobRecord":
        """Read the fields of a job's hash, which jobs/store/names.py lists."""

        def time(name: str) -> datetime | None:
            return datetime.fromtimestamp(float(fields[name]), UTC) if name in fields else None

        created_at = time("created_at")
        assert created_at is not None  # noqa: S101 - written with the job's first field
        return cls(
            id=fields["id"],
            kind=JobKind(fields["kind"]),
            owner=fields["owner"],
            status=JobStatus(fields["status"]),
            number=int(fields["number"]),
            deliveries=int(fields["deliveries"]),
            created_at=created_at,
            started_at=time("started_at"),
            finished_at=time("finished_at"),
            expires_at=time("expires_at"),
            deadline=time("deadline"),
            cancel_requested="cancel" in fields,
            queue_position=queue_position,
            estimated_wait_s=estimated_wait_s,
            progress=Progress.model_validate_json(fields["progress"]) if "progress" in fields else None,
            timings={
                stage: round(float(fields[TIMING_PREFIX + stage]), 4) for stage in fields.get("stages", "").splitlines()
            },
            error=Problem.model_validate_json(fields["error"]) if "error" in fields else None,
            result=Result.model_validate_json(fields["result"]) if "result" in fields else None,
            result_key=fields.get("result_key"),
            request_id=fields.get("request_id"),
            traceparent=fields.get("traceparent"),
            base_url=fields.get("base_url"),
            webhook=_webhook(fields),
            metadata=json.loads(fields.get("metadata", "{}")),
            spec=None if spec is None else known_spec(spec),
        )

    @property
    def expired_event(self) -> "Event | None":
        """The one event of an expired job, whose stream is gone. It comes after those that there were."""
        if self.status is not JobStatus.EXPIRED or self.expires_at is None:
            return None
        return Event(f"{int(1000 * self.expires_at.timestamp())}-0", "status", json.dumps({"status": self.status}))

    def at_start(self) -> "JobRecord":
        """The job as it was when a worker took it for the first time, whatever has become of it since."""
        later = ("finished_at", "expires_at", "cancel_requested", "queue_position", "estimated_wait_s", "progress",
                 "timings", "error", "result", "result_key")  # fmt: skip
        before = {name: JobRecord.model_fields[name].default for name in later}
        return self.model_copy(update={**before, "status": JobStatus.RUNNING})

    def public(self, urls: Urls, error: Problem | None) -> Job:
        """The job as the API shows it, with its addresses and its error as clients see it."""
        hidden = {
            "owner",
            "number",
            "deliveries",
            "result_key",
            "request_id",
            "traceparent",
            "base_url",
            "error",
            "spec",
        }
        given = None if self.spec is None else JobInput.of(self.spec)
        return Job(urls=urls, error=error, input=given, **{name: value for name, value in self if name not in hidden})


def known_spec(text: str) -> JobSpec | None:
    """Read a specification; None where a front-end of a later version wrote what this one does not know."""
    try:
        return JOB_SPEC.validate_json(text)
    except ValidationError:
        return None


def _webhook(fields: Mapping[str, str]) -> WebhookState | None:
    if "webhook" not in fields:
        return None
    state = {
        "status": fields.get("webhook_status", "pending"),
        "attempts": int(fields.get("webhook_attempts", 0)),
        "deliveries": [json.loads(line) for line in fields.get("webhook_log", "").split("\n") if line],
    }
    return WebhookState.model_validate({**json.loads(fields["webhook"]), **state})


@dataclass(frozen=True)
class Waited:
    """When a job that is traced was made, queued last and claimed, in seconds since 1970.

    `lost_at` is when the attempt before began, if that ended with its worker.
    """

    created_at: float
    queued_at: float
    claimed_at: float
    lost_at: float | None


@dataclass(frozen=True)
class Claim:
    """A worker's hold on a job, or on a part of it: while the lock in Redis has this value, it is this worker's alone.

    `part` is as jobs/store/names.py says: "" for the whole job, or for the plan of a video; `cut` says that the video
    was cut into parts before.
    """

    job_id: str
    part: str
    cut: bool
    lock: str
    lease_ms: int
    attempt: int
    owner: str
    spec: JobSpec
    request_id: str | None = None
    traceparent: str | None = None
    waited: Waited | None = None

    @property
    def holder(self) -> str:
        """Who has it, as `machine:pid`."""
        return self.lock.partition("|")[0]

    @property
    def segment(self) -> int | None:
        """Which segment of a video this is, if it is one."""
        return int(self.part) if self.part.isdecimal() else None

    @property
    def joins(self) -> bool:
        """Whether this is the last part of a video: one file is to be made of all fragments."""
        return self.part == JOIN


@dataclass(frozen=True)
class Message:
    """A message to workers as it lies in Redis: the key of its queue, and what Celery reads."""

    queue: str
    text: str


@dataclass(frozen=True)
class Turn:
    """Whose turn it is: a job, and the part of it that is wanted, if one is."""

    job_id: str
    part: str | None = None


class Shared(Document):
    """What all segments of a video share: artifacts with the head of its plan and with how the stream begins.

    `fps` is a fraction as text, `codecs` as in RFC 6381.
    """

    head: str
    init: str
    fps: str
    codecs: str


class Found(Document):
    """What making the plan of a video found, as its result tells."""

    clamped: int = 0
    frames_without_face: int | None = None


@dataclass(frozen=True)
class Fragment:
    """A segment that is rendered: its artifact, and of how many bytes and frames. `shared` is of its video."""

    key: str
    bytes: int
    frames: int
    shared: Shared


@dataclass(frozen=True)
class Followed:
    """What follows from a part that ended: for how many `messages` are to be sent, and what becomes of segments by
    several weights, if all is rendered and there are such."""

    messages: int
    mixed: Mixed | None = None


@dataclass(frozen=True)
class StreamSegment:
    """A fragment that can be played: how many frames it has, and its artifact."""

    frames: int
    key: str


@dataclass(frozen=True)
class Stream:
    """What can be played of a video: the fragments that are done, from the first on, without a gap.

    `init` is the artifact that players need before, `complete` says that nothing more comes.
    """

    fps: Fraction
    codecs: str
    init: str
    segments: tuple[StreamSegment, ...]
    complete: bool


class Refusal(StrEnum):
    """Why a job cannot be claimed. In every case the message is acknowledged and the copy steps back."""

    UNKNOWN = "unknown"  # never made, or deleted
    FINISHED = "finished"  # succeeded, failed, canceled or expired already
    BUSY = "busy"  # another copy holds it and is alive, or as many work on it as may
    EXHAUSTED = "exhausted"  # delivered too often; the claim has just failed it
    STRANGE = "strange"  # of a later version, whose specification cannot be read; the claim has just failed it


@dataclass(frozen=True)
class Event:
    """One entry of a job's event stream; `id` resumes after it."""

    id: str
    event: str
    data: str

    @property
    def ends(self) -> bool:
        """Whether this is the last event of interest: the job has reached an end."""
        return self.event == "status" and JobStatus(json.loads(self.data)["status"]).finished
