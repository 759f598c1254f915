"""What the OpenAPI document says beside the routes: of tags, calls, parameters and headers, and where answers lead."""

from typing import Any, NamedTuple

from service.http.examples import JOB_ID

CONTACT = {"name": "The PIRenderer service developers"}
LICENSE = {"name": "Apache License 2.0", "identifier": "Apache-2.0"}
TAGS = [
    {"name": "create", "description": "Begin jobs: images, videos, and the motion that is read from either."},
    {"name": "jobs", "description": "List jobs, read them, follow them, fetch what they made, stop and remove them."},
    {"name": "portraits", "description": "Keep photos that several jobs use."},
    {"name": "live", "description": "Move a kept portrait while you look on, over a WebSocket."},
    {"name": "webhooks", "description": "Hear of a job's start and end without asking."},
    {"name": "discovery", "description": "What can be asked for here: controls, models, voices and files."},
    {"name": "problems", "description": "What each type of problem means, and what to do about it."},
    {"name": "health", "description": "For those who run the service."},
]

SUMMARIES = {
    "create_image": "Re-pose a portrait",
    "create_video": "Animate a portrait",
    "create_motion": "Read the motion of an image or a video",
    "list_jobs": "List your jobs",
    "read_job": "Read a job",
    "follow_job": "Follow a job",
    "fetch_result": "Fetch what a job made",
    "head_result": "Look at what a job made",
    "fetch_speech": "Fetch the sound that a video speaks with",
    "head_speech": "Look at the sound that a video speaks with",
    "cancel_job": "Cancel a job",
    "rerun_job": "Run a job again",
    "delete_job": "Remove a job",
    "read_stream": "Play a video while it is made",
    "fetch_init": "Fetch the beginning of a stream",
    "head_init": "Look at the beginning of a stream",
    "fetch_segment": "Fetch a segment of a stream",
    "head_segment": "Look at a segment of a stream",
    "create_portrait": "Keep a portrait",
    "list_portraits": "List your portraits",
    "read_portrait": "Read a portrait",
    "fetch_portrait": "Fetch a portrait's photo",
    "head_portrait": "Look at a portrait's photo",
    "delete_portrait": "Remove a portrait",
    "read_webhook_secret": "Read the secret of your webhooks",
    "list_webhook_deliveries": "List what became of your webhooks",
    "send_test_webhook": "Send a webhook for a test",
    "list_controls": "List the controls",
    "list_models": "List the models",
    "list_voices": "List the voices",
    "read_live": "Read what live sessions offer",
    "list_limits": "List which files are taken",
    "list_problems": "List the types of problems",
    "read_problem": "Read what a problem means",
    "healthz": "Ask whether the process lives",
    "readyz": "Ask whether jobs can be taken",
    "metrics": "Read the metrics",
}

# What the answer is, where its schema does not say it
DONE = {
    "follow_job": "The events as they come, until the job ends",
    "delete_job": "The job is gone",
    "delete_portrait": "The portrait is gone",
    "metrics": "The metrics",
}

PARAMETERS = {
    "job_id": "The job's id",
    "portrait_id": "The portrait's id",
    "slug": "The last part of the problem's `type`",
    "number": "The segment, counted from 0",
    "limit": "How many at most",
    "cursor": "The `next_cursor` of the page before; unset: the newest",
    "last-event-id": "The id of the last event that was seen; those after it come",
}

# Of fields that do not say it themselves: in one schema, or in all that have one of this name
FIELDS = {
    "Control.description": "What it does",
    "Control.group": "What it belongs to, as pose or mouth",
    "Control.maximum": "The most that is allowed",
    "Control.minimum": "The least that is allowed",
    "Control.name": "What a motion calls it",
    "Control.neutral": "Where nothing is changed",
    "Control.unit": "Of its values; empty where they have none",
    "Format.suffix": "What names of its files end in, without the dot",
    "Format.title": "What people call it",
    "Health.status": "Always ok",
    "Limits.audio": "Sounds, and videos for their sound",
    "Limits.image": "Portraits and driving images",
    "Limits.jobs": "How many jobs, and portraits that are kept, may be made",
    "Limits.requests": "How many requests may be sent",
    "Limits.video": "Driving videos",
    "Job.error": "Why it failed",
    "Job.result": "What it made, once it has succeeded",
    "Job.webhook": "Whom it tells, and what became of that",
    "JobInput.options": "All of them, with the seed that is used",
    "Keyframe.controls": "What is not named is at rest",
    "Problem.allowed": "What would have been accepted",
    "Problem.errors": "Each error of a document with many, the first ones",
    "Problem.got": "The value that was found",
    "Problem.status": "The HTTP status",
    "Problem.title": "What its type is called",
    "Problem.type": "The address of a page about it; its last part is what programs compare",
    "ProblemPage.status": "The HTTP status",
    "ProblemPage.title": "What it is called",
    "ProblemPage.type": "The `type` of such problems",
    "RateLimit.amount": "So many",
    "RateLimit.seconds": "In so many seconds",
    "RateLimit.shared": "Whether with all keys of the owner together",
    "SpaceControls.controls": "The controls that name its directions",
    "SpaceControls.space": "The motion space",
    "PortraitUrls.file": "The photo itself",
    "Urls.events": "Its events as they come",
    "Urls.cancel": "Where to post to so as to cancel it",
    "Urls.result": "What it made",
    "Urls.self": "The job",
    "Webhook.url": "An https address of yours",
    "WebhookDelivery.url": "Where it went",
    "WebhookState.deliveries": "The last attempts, the newest last",
    "WebhookState.status": "How far telling of the end is",
    "WebhookTest.outcome": "Whether the receiver took it",
    "allowed": "What would have been accepted",
    "attempts": "How often it was tried",
    "audio": "The sound that it speaks with",
    "bytes": "Size in bytes",
    "cancel_requested": "Whether it is to be canceled",
    "coefficients": "The vector, as long as its space says",
    "confidence": "Of each frame: how sure the extractor was; not needed",
    "controls": "Values by the names that /v1/controls lists",
    "created_at": "When it was made",
    "crop": "Where the face was; not needed",
    "default": "The voice of those who name none",
    "deliveries": "The attempts",
    "detail": "What is wrong, for people to read",
    "dimension": "The length of its vectors",
    "done": "How much of the stage is done",
    "driving": "Whose motion is taken",
    "duration": "Seconds",
    "event": "What it tells of",
    "events": "Which events are told",
    "expires_at": "When its files go",
    "finished_at": "When it ended",
    "fps": "Frames a second",
    "formats": "Those that are taken",
    "frames": "How many frames, or their vectors",
    "gender": "As the speaker says it",
    "height": "Pixels",
    "id": "Its id",
    "instance": "The address that was asked for",
    "job_id": "The job's id",
    "jobs": "The newest first",
    "keyframes": "Controls at times, each later than the one before",
    "language": "As in BCP 47, about",
    "meaning": "What it means",
    "max_bytes": "Size of a file at most",
    "max_pixels": "Width times height at most",
    "max_seconds": "Length at most",
    "max_text_characters": "Length of a text to be spoken, at most",
    "media_type": "What the content was recognised as, or is",
    "models": "Their cards",
    "motion": "As it was sent",
    "motion_file": "A motion that was too long to be shown",
    "motions": "As they were sent",
    "motions_file": "Motions that were too many to be shown",
    "next_cursor": "Asks for the next page; null: that was all",
    "portrait": "The photo",
    "portraits": "The newest first",
    "problems": "All of them",
    "progress": "Where it is, while it runs",
    "remedy": "What to do about it",
    "secret": "`whsec_` and base64",
    "self": "Its address",
    "sha256": "SHA-256 of the content, in hexadecimal",
    "shots": "Where the crop changes; not needed",
    "side": "Pixels",
    "slug": "The last part of `type`",
    "source": "What the motion was read from",
    "space": "The motion space",
    "spaces": "Those that can be rendered",
    "speaker": "What speaks: a server, espeak-ng, or nothing",
    "stage": "What is done just now",
    "start": "Its first frame",
    "started_at": "When a worker took it first",
    "status": "How it is",
    "t": "Seconds from the start",
    "text": "What is said",
    "timestamp": "When it happened",
    "total": "How much of the stage there is, where it can be counted",
    "type": "What it is",
    "url": "Where it goes",
    "voice": "Who says it",
    "voices": "Those that may be asked for; none: any",
    "width": "Pixels",
    "workers": "How many are ready",
    "x": "Pixels from the left",
    "y": "Pixels from the top",
}

CREATES = frozenset({"create_image", "create_video", "create_motion"})
LISTS = frozenset({"list_jobs", "list_portraits"})
RESULTS = frozenset({"fetch_result", "head_result"})
SPEECH = frozenset({"fetch_speech", "head_speech"})
PHOTOS = frozenset({"fetch_portrait", "head_portrait"})
SEGMENTS = frozenset({"fetch_init", "head_init", "fetch_segment", "head_segment"})
KEYLESS = frozenset({"healthz", "readyz", "list_problems", "read_problem"})
KEYED = frozenset(SUMMARIES) - KEYLESS
CHANGING = CREATES | {
    "create_portrait",
    "rerun_job",
    "cancel_job",
    "delete_job",
    "delete_portrait",
    "send_test_webhook",
}
UNTAGGED = CHANGING | {"follow_job", "metrics", "read_webhook_secret", "healthz", "readyz"}
TAGGED = frozenset(SUMMARIES) - UNTAGGED


class NextCalls(NamedTuple):
    """Which `calls` take, as `parameter`, the id of what the calls `after` which they come have made."""

    after: frozenset[str]
    parameter: str
    calls: tuple[str, ...]


NEXT_CALLS = (
    NextCalls(
        CREATES | {"rerun_job"}, "job_id", ("read_job", "follow_job", "fetch_result", "cancel_job", "delete_job")
    ),
    NextCalls(frozenset({"create_portrait"}), "portrait_id", ("read_portrait", "fetch_portrait", "delete_portrait")),
)

TEXT = {"type": "string"}


class Header(NamedTuple):
    """A header of answers: of those with one of `statuses`, to one of `calls`; None: of all."""

    description: str
    example: Any
    schema: dict[str, Any]
    statuses: frozenset[int] | None = None
    calls: frozenset[str] | None = None

    def may_stand(self, call: str, status: int) -> bool:
        """Whether the answer to a call may have it."""
        return (self.statuses is None or status in self.statuses) and (self.calls is None or call in self.calls)


HEADERS = {
    "X-Request-ID": Header("The request's id, which logs have: the one sent, or one of ours", "8c2f0f6d5e3a4b71", TEXT),
    "Location": Header(
        "Where the new thing, or the file, is",
        f"/v1/jobs/{JOB_ID}",
        {"type": "string", "format": "uri-reference"},
        frozenset({201, 202, 307}),
    ),
    "Retry-After": Header(
        "Seconds after which to ask again", 15, {"type": "integer", "minimum": 0}, frozenset({202, 409, 429, 503})
    ),
    "WWW-Authenticate": Header("How a key is sent", 'Bearer realm="pirenderer"', TEXT, frozenset({401})),
    "ETag": Header(
        "Another answer has another one; sent as If-None-Match, it brings 304 while there is none",
        f'"{JOB_ID}"',
        TEXT,
        frozenset({200, 206, 304}),
        TAGGED,
    ),
    "Link": Header(
        "Where the first page and the next one are",
        '</v1/jobs?limit=50>; rel="first"',
        TEXT,
        frozenset({200}),
        LISTS,
    ),
    "RateLimit-Policy": Header("With a key: what it may do in a time", '"requests";q=600;w=60', TEXT, None, KEYED),
    "RateLimit": Header(
        "With a key: how much of that is left, and for how many seconds", '"requests";r=597;t=54', TEXT, None, KEYED
    ),
    "Content-Range": Header(
        "Which bytes of how many",
        "bytes 0-99/512000",
        TEXT,
        frozenset({206, 416}),
        RESULTS | SPEECH | PHOTOS | SEGMENTS,
    ),
    "Preference-Applied": Header(
        "The wait as it was granted", "wait=30", TEXT, frozenset({200, 202}), CREATES | {"rerun_job"}
    ),
    "Idempotency-Replayed": Header(
        "With the answer to a request that came before", "true", TEXT, frozenset({200, 202}), CREATES
    ),
}

WEBHOOK_TEXT = (
    "What `webhook` of a create call asks for is posted to its address, and again after growing pauses until it is "
    "taken. Messages are signed as Standard Webhooks 1.0 says, with the secret of `GET /v1/webhooks/secret`."
)
WEBHOOK_HEADERS = {
    "webhook-id": {"description": "The message's id, the same at every attempt", "example": f"msg_{JOB_ID}"},
    "webhook-timestamp": {"description": "When it is sent, in seconds since 1970", "example": "1772366401"},
    "webhook-signature": {
        "description": "`v1,` and the HMAC-SHA256 of id, timestamp and body, joined by dots, in base64",
        "example": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    },
}
