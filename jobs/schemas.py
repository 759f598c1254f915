"""Jobs as both ends see them: specification, options, progress, result and the job itself."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter

from jobs.documents import Document
from jobs.formats import IMAGE_FORMATS, VIDEO_FORMATS, Format, ImageFormat, VideoFormat
from jobs.motions import Motion
from jobs.problems import Problem
from jobs.webhooks import WebhookEvent, WebhookState


class JobKind(StrEnum):
    """What a job makes; each kind has a queue of its own."""

    IMAGE = "image"
    VIDEO = "video"
    MOTION = "motion"


class JobStatus(StrEnum):
    """The life of a job: queued, running, then one of the ends, and expired when its files are gone."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to the job but its expiry."""
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


FaceIndex = Annotated[int, Field(ge=0, le=31, description="Index among the faces, the largest first")]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1, description="Same seed, same motion; unset: drawn for the job")]
PoseScale = Annotated[
    float, Field(ge=0, le=3, allow_inf_nan=False, description="How much of what moves the head is taken; 0: nothing")
]
ExpressionScale = Annotated[
    float, Field(ge=0, le=3, allow_inf_nan=False, description="How much of what moves the face is taken; 0: nothing")
]
Still = Annotated[bool, Field(description="Let speech move the face alone, and keep the head still")]
DrivingRelative = Annotated[
    bool, Field(description="What the driver does is put on top of the portrait's own motion; else it is taken instead")
]
OutputFps = Annotated[
    float, Field(ge=1, le=60, allow_inf_nan=False, description="Unset: the motion's; 25 for speech and driving videos")
]
Temperature = Annotated[
    float, Field(ge=0, le=2, allow_inf_nan=False, description="How much motion varies; 0: not at all")
]
BlinkRate = Annotated[
    float, Field(ge=0, le=60, allow_inf_nan=False, description="Blinks a minute; unset: as people blink; 0: none")
]
VideoFormatName = Annotated[
    VideoFormat,
    Field(
        description="mp4: H.264 and AAC; webm: VP9 and Opus; gif, webp: a picture that moves without end, without "
        "sound. A gif has at most 50 frames a second"
    ),
]
PasteBack = Annotated[
    bool, Field(description="Put the face back into the whole photo; else the square crop is returned")
]
Quality = Annotated[int, Field(ge=1, le=100, description="For jpeg and webp")]
Label = Annotated[bool, Field(description='Write "AI-generated" into a corner; files are marked for machines anyway')]
Overlay = Annotated[
    bool,
    Field(
        description="Return a ZIP of motion.json and of what was read drawn on the source: overlay.png, or overlay.mp4"
    ),
]
OutputSize = Annotated[
    int,
    Field(
        ge=64,
        le=2048,
        description="Longest side in pixels; unset: the photo's own, of an mp4 or webm at most 1920, of a gif or an "
        "animated webp at most 640, or 256 for a crop",
    ),
]


class ImageOptions(Document):
    """How a re-posed image is made. Unknown fields are refused.

    `face` chooses the portrait's face, `driving_face` that of a driving image. The two scales govern how much of its
    expression and of its head's pose is taken.
    """

    face: FaceIndex | None = None
    driving_face: FaceIndex | None = None
    driving_relative: DrivingRelative = False
    pose_scale: PoseScale = 1.0
    expression_scale: ExpressionScale = 1.0
    paste_back: PasteBack = True
    size: OutputSize | None = None
    format: ImageFormat = "png"
    quality: Quality = 95
    label: Label = False

    @property
    def result_format(self) -> Format:
        """That of each image."""
        return IMAGE_FORMATS[self.format]


class VideoOptions(Document):
    """How a video is made. Unknown fields are refused.

    `face` chooses the portrait's face, `driving_face` that of a driving video, as its first frame with a face counts
    them. What follows `fps` governs motion made from speech: its size, how often the person blinks and whether the head
    keeps still; the two scales are a driving video's, too. With both, blinks are the driving video's. What a motion
    puts on top of them is not scaled.
    """

    face: FaceIndex | None = None
    driving_face: FaceIndex | None = None
    driving_relative: DrivingRelative = True
    paste_back: PasteBack = True
    size: OutputSize | None = None
    format: VideoFormatName = "mp4"
    fps: OutputFps | None = None
    seed: Seed | None = None
    temperature: Temperature = 0.7
    pose_scale: PoseScale = 1.0
    expression_scale: ExpressionScale = 1.0
    blink_rate: BlinkRate | None = None
    still: Still = False
    label: Label = False

    @property
    def result_format(self) -> Format:
        """That of the video."""
        return VIDEO_FORMATS[self.format]


class MotionOptions(Document):
    """How motion is extracted. Unknown fields are refused. A video's faces are those of its first frame with one."""

    face: FaceIndex | None = None
    overlay: Overlay = False


class InputFile(Document):
    """A stored upload: its artifact key, the media type its content was recognised as, and its size."""

    key: str
    media_type: str
    bytes: int
    sha256: str


class MotionsFile(InputFile):
    """A stored list of motions, and how many it holds."""

    count: int


MAX_MOTIONS = 64
Motions = Annotated[list[Motion], Field(min_length=1, max_length=MAX_MOTIONS, fail_fast=True)]


class ImageSpec(Document):
    """Re-pose `portrait` by `motion`, by each of `motions`, or as the person in the image `driving`.

    Many `motions` lie in a file, `motions_file`.
    """

    kind: Literal[JobKind.IMAGE] = JobKind.IMAGE
    portrait: InputFile
    motion: Motion | None = None
    motions: Motions | None = None
    motions_file: MotionsFile | None = None
    driving: InputFile | None = None
    options: ImageOptions = ImageOptions()

    @property
    def motion_count(self) -> int | None:
        """How many motions there are, where they are several and the result an archive; else None."""
        return self.motions_file.count if self.motions_file else len(self.motions) if self.motions else None


class VideoSpec(Document):
    """Animate `portrait` by a motion sequence, by speech or by the video `driving`.

    Speech and a driving video may come together: then the mouth is the speech's, and head, eyes and brows the video's.
    Beside either or both, controls and keyframes are put on top; beside speech alone, frames and coefficients hold
    head, eyes and brows as a video does. A long motion lies in a file, `motion_file`. `text` and `voice` say what
    `audio` was made from, if it was.
    """

    kind: Literal[JobKind.VIDEO] = JobKind.VIDEO
    portrait: InputFile
    audio: InputFile | None = None
    text: str | None = None
    voice: str | None = None
    motion: Motion | None = None
    motion_file: InputFile | None = None
    driving: InputFile | None = None
    options: VideoOptions = VideoOptions()


class MotionSpec(Document):
    """Extract the motion of an image (coefficients) or a video (frames), by `source.media_type`."""

    kind: Literal[JobKind.MOTION] = JobKind.MOTION
    source: InputFile
    options: MotionOptions = MotionOptions()


MOTION: TypeAdapter[Motion] = TypeAdapter(Motion)
MOTIONS: TypeAdapter[list[Motion]] = TypeAdapter(Motions)

JobSpec = Annotated[ImageSpec | VideoSpec | MotionSpec, Field(discriminator="kind")]
JOB_SPEC: TypeAdapter[JobSpec] = TypeAdapter(JobSpec)


def input_files(spec: JobSpec) -> dict[str, InputFile]:
    """The files that a job is made from, by the fields that name them."""
    return {name: file for name, file in spec if isinstance(file, InputFile)}


class Progress(Document):
    """Where a running job is: the stage by name and, where it can be counted, how much of it is done."""

    stage: Annotated[str, Field(min_length=1, max_length=64)]
    done: Annotated[int, Field(ge=0)] = 0
    total: Annotated[int, Field(ge=0)] | None = None


class Result(Document):
    """What a job made. Sizes in pixels and bytes, `duration` in seconds."""

    media_type: str
    bytes: Annotated[int, Field(ge=0)]
    sha256: str
    width: int | None = None
    height: int | None = None
    images: Annotated[int, Field(description="How many images a ZIP holds")] | None = None
    frames: int | None = None
    fps: float | None = None
    duration: float | None = None
    frames_without_face: (
        Annotated[int, Field(description="Of a video that was read; the motion before was held there")] | None
    ) = None
    clamped: (
        Annotated[int, Field(description="Frames or images turned less than asked: the portrait shows no more")] | None
    ) = None


MAX_METADATA = 16
METADATA_KEY = r"[A-Za-z0-9_.-]{1,64}"
MetadataKey = Annotated[str, Field(pattern=f"^{METADATA_KEY}$")]
MetadataValue = Annotated[str, Field(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=MAX_METADATA, fail_fast=True)]
METADATA: TypeAdapter[dict[str, str]] = TypeAdapter(Metadata)


class GivenFile(Document):
    """A file that was sent or fetched: the media type that its content was recognised as, its size and its checksum."""

    media_type: str
    bytes: int
    sha256: str


class JobInput(Document):
    """What a job is made of: files, and the rest as it was sent. `options` are complete, with the seed that is used.

    A long motion, or list of motions, is a file.
    """

    portrait: GivenFile | None = None
    audio: GivenFile | None = None
    text: str | None = None
    voice: str | None = None
    driving: GivenFile | None = None
    source: GivenFile | None = None
    motion: Motion | None = None
    motion_file: GivenFile | None = None
    motions: Motions | None = None
    motions_file: GivenFile | None = None
    options: ImageOptions | VideoOptions | MotionOptions

    @classmethod
    def of(cls, spec: JobSpec) -> Self:
        """What a specification says, without where its files are."""
        files = {
            name: GivenFile(media_type=file.media_type, bytes=file.bytes, sha256=file.sha256)
            for name, file in input_files(spec).items()
        }
        return cls(**{name: value for name, value in spec if name != "kind"} | files)


class Urls(Document):
    """Where to go from here."""

    self: str
    events: str
    cancel: str
    result: str
    stream: Annotated[str, Field(description="Of a video: an HLS playlist that plays while it is made")] | None = None


class Job(Document):
    """A job as the API shows it."""

    id: str
    kind: JobKind
    status: JobStatus
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    deadline: Annotated[datetime, Field(description="A job that has not begun by then fails")] | None = None
    cancel_requested: bool = False
    queue_position: Annotated[int, Field(description="Jobs of this kind ahead; only while queued")] | None = None
    estimated_wait_s: (
        Annotated[float, Field(description="Seconds until it begins, by the pace of late; only while queued")] | None
    ) = None
    progress: Progress | None = None
    timings: dict[str, float] = Field(default_factory=dict, description="Seconds spent in each stage")
    error: Problem | None = None
    result: Result | None = None
    webhook: WebhookState | None = None
    metadata: dict[str, str] = Field(default_factory=dict, description="As it was sent with the job")
    input: (
        Annotated[JobInput, Field(description="What it is made of; not in lists, and gone when it has expired")] | None
    ) = None
    urls: Urls


class WebhookMessage(Document):
    """What a webhook is sent: how far the job came, when, and the job, without its webhook."""

    type: WebhookEvent
    timestamp: datetime
    data: Job
