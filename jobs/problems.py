"""The problems a job or a request can have, as RFC 9457 problem objects with stable types.

Both ends speak of errors in this vocabulary: the worker ends a job with a `Problem`, the API answers with one.
"""

from enum import Enum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, field_validator

TYPE_PREFIX = "/problems/"  # a path of the front-end, where each type has its page
EARLIER_PREFIX = "urn:pirenderer:problem:"  # the same as workers up to 0.2.0 write it, in jobs that are still kept


class ProblemType(Enum):
    """Name, HTTP status and title of each problem; the name is part of its stable `type`."""

    # the request itself
    BAD_REQUEST = ("bad-request", 400, "The request cannot be read")
    UNAUTHORIZED = ("unauthorized", 401, "A valid API key is needed")
    FORBIDDEN = ("forbidden", 403, "This request is not allowed")
    NOT_FOUND = ("not-found", 404, "There is nothing here")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "This method is not offered here")
    TOO_SLOW = ("too-slow", 408, "The request took too long to arrive")
    IDEMPOTENCY_IN_FLIGHT = ("idempotency-in-flight", 409, "A request with this Idempotency-Key is in progress")
    IDEMPOTENCY_MISMATCH = ("idempotency-mismatch", 422, "This Idempotency-Key was used with another request")
    TOO_LARGE = ("too-large", 413, "The upload is too large")
    UNSUPPORTED_MEDIA = ("unsupported-media", 415, "This kind of file is not accepted")
    RANGE_NOT_SATISFIABLE = ("range-not-satisfiable", 416, "The range lies outside the result")
    INVALID_REQUEST = ("invalid-request", 422, "A part of the request is not valid")
    NO_SUCH_PORTRAIT = ("no-such-portrait", 422, "There is no portrait with this id")
    INVALID_MOTION = ("invalid-motion", 422, "The motion is not valid")
    WRONG_MOTION_SPACE = ("wrong-motion-space", 422, "The motion is in another motion space")
    INVALID_OPTIONS = ("invalid-options", 422, "The options are not valid")
    INVALID_WEBHOOK = ("invalid-webhook", 422, "The webhook is not valid")
    INVALID_ADDRESS = ("invalid-address", 422, "The address of an input is not valid")
    FETCH_FAILED = ("fetch-failed", 422, "An input could not be fetched from its address")
    TOO_MANY_REQUESTS = ("too-many-requests", 429, "Too many requests")
    # what the media turn out to be
    UNREADABLE_MEDIA = ("unreadable-media", 422, "The file cannot be decoded")
    TOO_COSTLY = ("too-costly", 422, "Decoding the file takes more than it may")
    TOO_MANY_PIXELS = ("too-many-pixels", 422, "The image has too many pixels")
    NO_FACE = ("no-face", 422, "No face was found")
    NO_SUCH_FACE = ("no-such-face", 422, "There is no face with this index")
    SILENT_AUDIO = ("silent-audio", 422, "The sound has no usable samples")
    AUDIO_TOO_LONG = ("audio-too-long", 422, "The sound is too long")
    VIDEO_TOO_LONG = ("video-too-long", 422, "The video is too long")
    # the life of a job
    JOB_NOT_FINISHED = ("job-not-finished", 409, "The job has not finished")
    JOB_FINISHED = ("job-finished", 409, "The job has already finished")
    JOB_CANCELED = ("job-canceled", 409, "The job was canceled")
    JOB_EXPIRED = ("job-expired", 410, "The job has expired and its files are gone")
    WORKER_LOST = ("worker-lost", 500, "The job brought down its worker every time it was tried")
    OUT_OF_MEMORY = ("out-of-memory", 500, "The worker ran out of memory")
    DEADLINE_MISSED = ("deadline-missed", 409, "The job did not begin by its deadline")
    TIMED_OUT = ("timed-out", 500, "The job took longer than is allowed")
    INTERNAL = ("internal", 500, "Something went wrong on our side")
    # capacity
    NO_MODEL = ("no-model", 503, "The model this job needs is not installed")
    NO_SPEECH_SERVICE = ("no-speech", 503, "Nothing is installed that speaks texts")
    SPEECH_FAILED = ("speech-failed", 503, "The text could not be spoken")
    QUEUE_FULL = ("queue-full", 503, "The queue is full")
    LIVE_UNAVAILABLE = ("live-unavailable", 503, "No worker is free for a live session")
    UNAVAILABLE = ("unavailable", 503, "A part of the service is not available")
    STORAGE_USED = ("storage-used", 507, "As much is kept for this owner as may be")
    STORAGE_FULL = ("storage-full", 507, "There is no room to store the upload")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title

    @property
    def uri(self) -> str:
        """The path of its page: the value of `type`, which has the service's address before it on the wire."""
        return TYPE_PREFIX + self.slug


class Problem(BaseModel):
    """One RFC 9457 problem object: what went wrong, the value got and what is allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    got: Any = None
    allowed: Any = None
    errors: list[dict[str, Any]] | None = None

    @field_validator("type")
    @classmethod
    def _has_a_page(cls, value: str) -> str:
        return TYPE_PREFIX + value.removeprefix(EARLIER_PREFIX) if value.startswith(EARLIER_PREFIX) else value

    @classmethod
    def of(cls, problem_type: ProblemType, detail: str, *, got: Any = None, allowed: Any = None) -> Self:
        """A problem of a catalogued type; `got` and `allowed` must be JSON values."""
        return cls(
            type=problem_type.uri,
            title=problem_type.title,
            status=problem_type.status,
            detail=detail,
            got=got,
            allowed=allowed,
        )

    def under(self, base: str) -> Self:
        """The same as clients see it: its type with `base`, the service's address, before it."""
        return self.model_copy(update={"type": base + self.type}) if self.type.startswith(TYPE_PREFIX) else self


class ProblemError(Exception):
    """What was sent cannot be used, or cannot be now; the detail is written for the user.

    `got` is the value found and `allowed` what would have been accepted, both JSON values, or None where there is
    nothing to name.
    """

    def __init__(self, problem_type: ProblemType, detail: str, *, got: Any = None, allowed: Any = None) -> None:
        super().__init__(detail)
        self.problem_type = problem_type
        self.detail = detail
        self.got = got
        self.allowed = allowed

    @property
    def problem(self) -> Problem:
        """What a request or a job ends with."""
        return Problem.of(self.problem_type, self.detail, got=self.got, allowed=self.allowed)
