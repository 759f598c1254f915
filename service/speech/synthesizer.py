"""What makes speech of a text, whichever way."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Literal

from pydantic import BaseModel, ConfigDict

SpeakerName = Literal["server", "espeak-ng"]
Gender = Literal["male", "female"]


class SpeechFailedError(Exception):
    """A text was not spoken, through no fault of who sent it; the text of the error can be shown to anyone."""


class Voice(BaseModel):
    """A voice that can be asked for by its `id`, with its language as a BCP 47 tag; null where it is not known."""

    model_config = ConfigDict(frozen=True)

    id: str
    language: str | None = None
    gender: Gender | None = None


class Synthesizer(ABC):
    """One way to make speech. Without `voices` any name may be asked for."""

    name: SpeakerName
    voices: tuple[Voice, ...]
    default: str

    @abstractmethod
    def synthesize(self, text: str, voice: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a sound file, as they come; the caller bounds their number, and the time.

        Raises SpeechFailedError, and ProblemError where `text` or `voice` cannot be spoken.
        """

    async def close(self) -> None:  # noqa: B027 - most have nothing to close
        """End what is kept open."""
