"""Live sessions as both ends see them: a portrait that a worker renders while a client drives it.

Messages of clients are JSON objects with a `type`, or binary: SOUND or CAMERA and what it is of. docs/live.md tells
them to clients.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from jobs.documents import Document
from jobs.motions import ControlValues, Motion
from jobs.schemas import BlinkRate, ExpressionScale, FaceIndex, InputFile, PoseScale, Quality, Seed, Still, Temperature

SUBPROTOCOL = "pirenderer.live.v1"
SOUND, CAMERA = b"\x01", b"\x02"  # first bytes of binary messages
SOUND_RATE = 16_000  # samples a second, signed 16 bit, of one channel
MAX_SOUND_BYTES = 64 * 1024
MAX_CAMERA_BYTES = 512 * 1024
MAX_CAMERA_SIDE = 1280
MAX_TEXT_BYTES = 64 * 1024

Number = Annotated[
    int, Field(ge=0, le=2**53, description="The client's own count, which comes back with the pictures that show it")
]
DrivenBy = Literal["controls", "sound", "camera"]


class LiveOptions(Document):
    """What a session shows: a square crop of `size` pixels a side, as JPEGs."""

    size: Annotated[int, Field(ge=64, le=1024, description="Side of the pictures in pixels")] = 512
    quality: Quality = 80
    face: FaceIndex | None = None


class DriveOptions(Document):
    """How sound or camera move the portrait; the fields are those of videos."""

    seed: Seed | None = None
    temperature: Temperature = 0.7
    pose_scale: PoseScale = 1.0
    expression_scale: ExpressionScale = 1.0
    blink_rate: BlinkRate | None = None
    still: Still = False


class Start(Document):
    """The first message: whose portrait, and what is shown of it."""

    type: Literal["start"]
    portrait_id: Annotated[str, Field(max_length=64)]
    options: LiveOptions = LiveOptions()


class SetControls(Document):
    """The state of all controls, in place of what was before."""

    type: Literal["controls"]
    controls: ControlValues
    relative: bool = True
    number: Number | None = None


class SetMotion(Document):
    """The same by any still motion."""

    type: Literal["motion"]
    motion: Motion
    number: Number | None = None


class Drive(Document):
    """What moves the face besides: the motion stays on top."""

    type: Literal["drive"]
    by: DrivenBy
    options: DriveOptions = DriveOptions()


class Recenter(Document):
    """How the person before the camera looks now is the new neutral."""

    type: Literal["recenter"]


class End(Document):
    """The session ends."""

    type: Literal["end"]


Message = Annotated[Start | SetControls | SetMotion | Drive | Recenter | End, Field(discriminator="type")]
MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)


class LiveState(Document):
    """All that a client has said and that still counts: enough for another worker to go on.

    `driven` counts the messages that chose what drives, `recentered` those of the new neutral.
    """

    motion: Motion | None = None
    number: Number | None = None
    by: DrivenBy = "controls"
    options: DriveOptions = DriveOptions()
    driven: int = 0
    recentered: int = 0


class LiveSpec(Document):
    """What a session is made of."""

    owner: str
    portrait: InputFile
    options: LiveOptions


class PictureHeader(Document):
    """What is told with a picture.

    `picture` counts up; `number` is that of the newest state that it shows; `at` is in seconds of the sound, or since
    the worker took the session; `seen` says of a camera's picture whether it shows a face.
    """

    picture: int
    number: Number | None
    at: float
    seen: bool
