"""What clients of live sessions send, checked, and brought into the one state that counts."""

from collections import deque

from pydantic import ValidationError

from jobs.documents import InvalidJsonError, read_document
from jobs.kinds import SPEECH_MODEL
from jobs.live import (
    CAMERA,
    MAX_CAMERA_BYTES,
    MAX_SOUND_BYTES,
    MAX_TEXT_BYTES,
    MESSAGE,
    SOUND,
    Drive,
    End,
    LiveState,
    Message,
    Recenter,
    SetControls,
    SetMotion,
    Start,
)
from jobs.media_types import HEAD_BYTES
from jobs.motion_spaces import checked_still
from jobs.motions import ControlsMotion, Motion
from jobs.problems import ProblemType
from jobs.store.live_streams import LENGTHS, SOUNDS
from service.context import Context
from service.http.problems import ProblemError, validation_error
from service.intake.filetypes import accept
from service.intake.submissions import require_models

NO_TYPE = ("union_tag_invalid", "union_tag_not_found", "model_attributes_type")  # what pydantic says of no message


class NoMessageError(ProblemError):
    """What came is no message that may come, so the session ends."""


def read_message(text: str) -> Message:
    """A message of text. Raises ProblemError, and NoMessageError when it is none at all."""
    data = text.encode()
    _check_size("a message", len(data), MAX_TEXT_BYTES)
    try:
        return read_document(MESSAGE, data)
    except InvalidJsonError as error:
        raise NoMessageError(ProblemType.BAD_REQUEST, f"message: {error}", got=text[:200]) from error
    except ValidationError as error:
        problem = validation_error(ProblemType.INVALID_REQUEST, error, where="message", tag=0)
        if error.errors(include_url=False, include_input=False)[0]["type"] in NO_TYPE:
            raise NoMessageError(problem.problem_type, problem.detail, got=problem.got) from error
        raise problem from error


class Said:
    """All that a client has said: the state, and what of it the worker is to be told."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.state = LiveState()
        self.told = True  # whether the state is
        self.sounds = deque[bytes](maxlen=LENGTHS[SOUNDS])  # no more than Redis keeps
        self.camera: bytes | None = None

    def take(self, message: str | bytes) -> bool:
        """Take a message; whether the session goes on after it.

        Raises ProblemError where it is refused and changes nothing, and NoMessageError where the session ends.
        """
        if isinstance(message, bytes):
            self._take_binary(message)
            return True
        read = read_message(message)
        if isinstance(read, End):
            return False
        self.state = self._after(read)
        self.told = False
        return True

    def _after(self, message: Message) -> LiveState:
        state = self.state
        changed: dict[str, object]
        match message:
            case SetControls():
                motion = ControlsMotion(controls=message.controls, relative=message.relative)
                changed = {"motion": self._checked(motion), "number": message.number}
            case SetMotion():
                changed = {"motion": self._checked(message.motion), "number": message.number}
            case Drive():
                if message.by == "sound":
                    require_models(self._context, SPEECH_MODEL)
                changed = {"by": message.by, "options": message.options, "driven": state.driven + 1}
                self.sounds.clear()
                self.camera = None
            case Recenter():
                changed = {"recentered": state.recentered + 1}
            case Start() | End():
                raise NoMessageError(
                    ProblemType.INVALID_REQUEST, "the session has begun, and begins once", got=message.type
                )
        return state.model_copy(update=changed)

    def _checked(self, motion: Motion) -> Motion:
        return checked_still(motion, self._context.catalogue.spaces, "motion")

    def _take_binary(self, message: bytes) -> None:
        """Sound or a picture of the camera. What is not driven by is left out: the choice may have come after it."""
        kind, data = message[:1], message[1:]
        if kind == SOUND:
            _check_size("sound", len(data), MAX_SOUND_BYTES)
            if len(data) % 2:
                raise ProblemError(
                    ProblemType.UNREADABLE_MEDIA,
                    f"sound has {len(data)} bytes; samples have two each",
                    got=len(data),
                    allowed="an even number",
                )
            if self.state.by == "sound" and data:
                self.sounds.append(data)
        elif kind == CAMERA:
            _check_size("a camera's picture", len(data), MAX_CAMERA_BYTES)
            accept("a camera's picture", data[:HEAD_BYTES], ["image/jpeg"])
            if self.state.by == "camera":
                self.camera = data
        else:
            raise NoMessageError(
                ProblemType.INVALID_REQUEST,
                f"a binary message begins with {kind[0] if kind else 'nothing'}; allowed are 1 (sound) and 2 (camera)",
                got=kind[0] if kind else None,
                allowed=[SOUND[0], CAMERA[0]],
            )


def _check_size(what: str, size: int, most: int) -> None:
    if size > most:
        raise NoMessageError(
            ProblemType.TOO_LARGE, f"{what} has {size} bytes; at most {most} are allowed", got=size, allowed=most
        )
