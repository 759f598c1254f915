"""Examples of problems, for their pages and for the OpenAPI document, with the calls that may answer with them."""

from typing import Any, NamedTuple

from jobs.problems import Problem, ProblemType
from service.http.descriptions import CREATES, KEYED, LISTS, PHOTOS, RESULTS, SEGMENTS, SPEECH
from service.http.examples import JOB_ID, PORTRAIT_ID

UPLOADS = CREATES | {"create_portrait"}
FILES = RESULTS | SEGMENTS | SPEECH
RERUN = frozenset({"rerun_job"})
TEST = frozenset({"send_test_webhook"})
SPOKEN = frozenset({"create_video"})
POSED = CREATES - {"create_motion"}
ENDS = FILES | {"read_stream"}  # which answer with the problem that a job ended with


class ProblemExample(NamedTuple):
    """A problem of a type, and the calls that it is an example for; None: for all, none of them: for its page alone."""

    type: ProblemType
    detail: str
    calls: frozenset[str] | None = None
    got: Any = None
    allowed: Any = None

    @property
    def problem(self) -> Problem:
        """What is answered."""
        return Problem.of(self.type, self.detail, got=self.got, allowed=self.allowed)

    def may_stand(self, call: str, status: int) -> bool:
        """Whether a call may answer a status with it."""
        return self.type.status == status and (self.calls is None or call in self.calls)


PROBLEMS = {
    "method-not-allowed": ProblemExample(ProblemType.METHOD_NOT_ALLOWED, "PUT is not offered at /v1/jobs", frozenset()),
    "unauthorized": ProblemExample(
        ProblemType.UNAUTHORIZED, "no API key was sent; send one as Authorization: Bearer KEY or X-API-Key: KEY"
    ),
    "forbidden": ProblemExample(
        ProblemType.FORBIDDEN,
        "this needs a key with the scope write; this one has read",
        got=["read"],
        allowed=["write"],
    ),
    "not-found": ProblemExample(ProblemType.NOT_FOUND, f"there is no job {JOB_ID!r}", got=JOB_ID),
    "too-many-requests": ProblemExample(
        ProblemType.TOO_MANY_REQUESTS,
        "1 more is too many: this key is allowed 600 per 1 minute for requests; ask again in 15 s",
        got=1,
        allowed="600 per 1 minute for requests",
    ),
    "unavailable": ProblemExample(ProblemType.UNAVAILABLE, "the job store does not answer"),
    "not-a-cursor": ProblemExample(
        ProblemType.BAD_REQUEST, "cursor 'abc' is not a next_cursor of yours", LISTS, got="abc"
    ),
    "invalid-limit": ProblemExample(
        ProblemType.INVALID_REQUEST,
        "query.limit: Input should be less than or equal to 200, got '1000'",
        LISTS,
        got="1000",
    ),
    "invalid-event-id": ProblemExample(
        ProblemType.INVALID_REQUEST,
        "header.last-event-id: String should have at most 64 characters",
        frozenset({"follow_job"}),
    ),
    "invalid-segment": ProblemExample(
        ProblemType.INVALID_REQUEST,
        "query._HLS_msn: Input should be greater than or equal to 0",
        frozenset({"read_stream"}),
        got="-1",
    ),
    "unknown-parameter": ProblemExample(
        ProblemType.INVALID_REQUEST,
        "there is no query parameter 'stat' here; allowed are none",
        KEYED - {"metrics"},
        got="stat",
        allowed=[],
    ),
    "unknown-problem": ProblemExample(
        ProblemType.NOT_FOUND, "there is no type of problem 'no-faces'", frozenset({"read_problem"}), got="no-faces"
    ),
    "invalid-webhook": ProblemExample(
        ProblemType.INVALID_WEBHOOK,
        "webhook.url is 'http://example.org/': its scheme is 'http'; allowed is an https URL of a public address",
        CREATES | TEST,
        got="http://example.org/",
        allowed="an https URL of a public address",
    ),
    "invalid-address": ProblemExample(
        ProblemType.INVALID_ADDRESS,
        "portrait is 'me.jpg': its scheme is ''; allowed is an https URL of a public address",
        UPLOADS,
        got="me.jpg",
        allowed="an https URL of a public address",
    ),
    "fetch-failed": ProblemExample(
        ProblemType.FETCH_FAILED,
        "portrait could not be fetched from 'https://example.org/me.jpg': the answer is 404; allowed is 200",
        UPLOADS,
        got=404,
        allowed=200,
    ),
    "no-speech": ProblemExample(
        ProblemType.NO_SPEECH_SERVICE,
        "nothing here speaks texts; the operator has to set PIRENDERER_TTS_URL or to install espeak-ng",
        SPOKEN,
    ),
    "speech-failed": ProblemExample(
        ProblemType.SPEECH_FAILED, "the speech server does not answer (ConnectTimeout)", SPOKEN
    ),
    "no-model": ProblemExample(
        ProblemType.NO_MODEL, "no audio model is installed", CREATES, got=["extractor", "renderer"], allowed=["audio"]
    ),
    "bad-form": ProblemExample(ProblemType.BAD_REQUEST, "the form ends before its closing boundary", UPLOADS | TEST),
    "too-slow": ProblemExample(
        ProblemType.TOO_SLOW, "the request was not complete after 300 s", UPLOADS | TEST, allowed=300
    ),
    "idempotency-in-flight": ProblemExample(
        ProblemType.IDEMPOTENCY_IN_FLIGHT,
        "a request with Idempotency-Key 'order-17' is in progress",
        CREATES,
        got="order-17",
    ),
    "idempotency-mismatch": ProblemExample(
        ProblemType.IDEMPOTENCY_MISMATCH,
        "this Idempotency-Key was used with another request; use a new key for a new job",
        CREATES,
    ),
    "too-large": ProblemExample(
        ProblemType.TOO_LARGE,
        "portrait is larger than the 20000000 bytes allowed",
        UPLOADS | ENDS | TEST,
        got="> 20000000",
        allowed=20_000_000,
    ),
    "unsupported-media": ProblemExample(
        ProblemType.UNSUPPORTED_MEDIA,
        "portrait looks like image/gif; allowed are image/jpeg, image/png",
        UPLOADS | ENDS,
        got="image/gif",
        allowed=["image/jpeg", "image/png"],
    ),
    "field-missing": ProblemExample(
        ProblemType.INVALID_REQUEST, "field 'portrait' is missing", UPLOADS, allowed=["portrait"]
    ),
    "no-such-portrait": ProblemExample(
        ProblemType.NO_SUCH_PORTRAIT,
        f"there is no portrait {PORTRAIT_ID!r} (any more); upload it again",
        POSED,
        got=PORTRAIT_ID,
    ),
    "invalid-motion": ProblemExample(
        ProblemType.INVALID_MOTION,
        "motion.controls.yaw is 90; allowed is -45 to 45 degrees",
        POSED,
        got=90,
        allowed={"minimum": -45, "maximum": 45, "unit": "degrees"},
    ),
    "wrong-motion-space": ProblemExample(
        ProblemType.WRONG_MOTION_SPACE,
        "motion.space is 'other'; the installed renderer speaks open478",
        POSED,
        got="other",
        allowed=["open478"],
    ),
    "invalid-options": ProblemExample(
        ProblemType.INVALID_OPTIONS,
        "options.face: Input should be less than or equal to 31, got 40",
        CREATES,
        got=40,
    ),
    "live-unavailable": ProblemExample(
        ProblemType.LIVE_UNAVAILABLE,
        "no worker is free for a live session; workers: 3, live sessions: 2 of at most 2, jobs at work: 1",
        frozenset(),
        got={"workers": 3, "sessions": 2, "jobs": 1},
        allowed=2,
    ),
    "queue-full": ProblemExample(
        ProblemType.QUEUE_FULL,
        "100 image jobs are waiting, which is all the queue holds",
        CREATES | RERUN,
        got=100,
        allowed=100,
    ),
    "storage-used": ProblemExample(
        ProblemType.STORAGE_USED,
        "10737418300 bytes of files are kept for this owner, and no more than 10737418240 may be; "
        "delete jobs or portraits, or wait until they expire",
        UPLOADS | RERUN,
        got=10_737_418_300,
        allowed=10_737_418_240,
    ),
    "storage-full": ProblemExample(
        ProblemType.STORAGE_FULL, "the result cannot be stored: No space left on device", ENDS
    ),
    "job-not-finished": ProblemExample(
        ProblemType.JOB_NOT_FINISHED,
        f"job {JOB_ID} is running; its result comes when it has succeeded",
        ENDS,
        got="running",
        allowed="succeeded",
    ),
    "job-finished": ProblemExample(
        ProblemType.JOB_FINISHED,
        f"job {JOB_ID} has succeeded and cannot be canceled",
        frozenset({"cancel_job"}),
        got="succeeded",
        allowed=["queued", "running"],
    ),
    "job-canceled": ProblemExample(ProblemType.JOB_CANCELED, f"job {JOB_ID} was canceled and has no result", ENDS),
    "job-expired": ProblemExample(
        ProblemType.JOB_EXPIRED, f"job {JOB_ID} expired at 2026-03-02 12:00:01+00:00", ENDS | RERUN
    ),
    "job-deleted": ProblemExample(
        ProblemType.JOB_EXPIRED, f"job {JOB_ID}, made with this Idempotency-Key, has been deleted", CREATES
    ),
    "not-to-be-rerun": ProblemExample(
        ProblemType.JOB_NOT_FINISHED,
        f"job {JOB_ID} is running; succeeded or failed or canceled ones can be run again",
        RERUN,
        got="running",
        allowed=["succeeded", "failed", "canceled"],
    ),
    "range-not-satisfiable": ProblemExample(
        ProblemType.RANGE_NOT_SATISFIABLE,
        "Range is bytes=900000-; the file has 512000 bytes",
        FILES | PHOTOS,
        got="bytes=900000-",
        allowed=512_000,
    ),
    "no-face": ProblemExample(
        ProblemType.NO_FACE,
        "no face was found in the portrait of 400 x 300 pixels; looked for whole faces at least 40 pixels high, "
        "turned by up to about 60 degrees and tilted by up to about 45",
        ENDS,
        got=0,
        allowed="at least one face",
    ),
    "unreadable-media": ProblemExample(
        ProblemType.UNREADABLE_MEDIA, "portrait is an empty file", UPLOADS | ENDS, got="0 bytes", allowed=["image/jpeg"]
    ),
    "too-many-pixels": ProblemExample(
        ProblemType.TOO_MANY_PIXELS,
        "portrait has 12000 x 9000 = 108000000 pixels; allowed are 50000000",
        UPLOADS | ENDS,
        got=108_000_000,
        allowed=50_000_000,
    ),
    "too-costly": ProblemExample(
        ProblemType.TOO_COSTLY, "decoding the portrait takes more than 512 MiB of memory", ENDS
    ),
    "no-such-face": ProblemExample(
        ProblemType.NO_SUCH_FACE, "face 2 was asked for, but the portrait has 1; allowed are 0 to 0", ENDS, got=2
    ),
    "silent-audio": ProblemExample(
        ProblemType.SILENT_AUDIO, "the audio is silent: its peak is -93 dBFS, -60 is the least", ENDS
    ),
    "audio-too-long": ProblemExample(
        ProblemType.AUDIO_TOO_LONG, "the audio is 720.0 seconds long; at most 300 are allowed", ENDS
    ),
    "video-too-long": ProblemExample(
        ProblemType.VIDEO_TOO_LONG, "the driving video is 720.0 seconds long; at most 120 are allowed", ENDS
    ),
    "worker-lost": ProblemExample(
        ProblemType.WORKER_LOST, "given up after 3 attempts that each ended its worker", ENDS
    ),
    "out-of-memory": ProblemExample(
        ProblemType.OUT_OF_MEMORY,
        "the worker's memory did not suffice for this job; a smaller size or less may do",
        ENDS,
    ),
    "deadline-missed": ProblemExample(
        ProblemType.DEADLINE_MISSED, "the job did not begin within 60.0 s", ENDS, got=60.0
    ),
    "timed-out": ProblemExample(
        ProblemType.TIMED_OUT, "the job took longer than a job may; a shorter video may do", ENDS
    ),
    "internal": ProblemExample(
        ProblemType.INTERNAL, "something unexpected happened while the job was worked on; it is logged", ENDS
    ),
}
