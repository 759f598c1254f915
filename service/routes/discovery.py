"""/v1/controls, /v1/models, /v1/voices and /v1/limits: what can be asked for here."""

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from jobs.media_types import IMAGES, SOUNDS, VIDEOS, MediaType
from jobs.store.rates import Rate
from service.access.throttle import Bound
from service.catalogue import Control
from service.context import ContextDep, ReaderDep
from service.http.openapi import access_responses
from service.speech.synthesizer import SpeakerName, Voice

router = APIRouter(prefix="/v1", tags=["discovery"], responses=access_responses())


class SpaceControls(BaseModel):
    """One motion space: the length of its vectors and its named controls with their ranges."""

    space: str
    dimension: int
    controls: list[Control]


class Controls(BaseModel):
    """The motion spaces that can be rendered here."""

    spaces: list[SpaceControls]


class ModelList(BaseModel):
    """The cards of the installed models."""

    models: list[dict[str, Any]]


class VoiceList(BaseModel):
    """What speaks texts, and the voices that it may be asked for; `speaker` and `default` are null where nothing does.

    Without a list `voice` may be any name that the speech server knows.
    """

    speaker: SpeakerName | None
    voices: list[Voice]
    default: str | None


class Format(BaseModel):
    """A kind of file that is taken: what people call it, and what its files are called."""

    media_type: str
    title: str
    suffix: str


class FileLimits(BaseModel):
    """Files of one sort: their formats, and how large they may be; null: that is not bounded by itself."""

    formats: list[Format]
    max_bytes: int
    max_pixels: int | None = None
    max_seconds: float | None = None


class RateLimit(BaseModel):
    """So many in so many seconds, with this key or, where it is `shared`, with all keys of its owner together."""

    amount: int
    seconds: int
    shared: bool


class Limits(BaseModel):
    """What may be sent, and how much with this key; where a list is empty, any number. A video with sound is a sound,
    too."""

    image: FileLimits
    audio: FileLimits
    video: FileLimits
    max_text_characters: int
    requests: list[RateLimit]
    jobs: list[RateLimit]


@router.get("/controls")
def list_controls(context: ContextDep, _: ReaderDep) -> Controls:
    """Names, ranges and units of the controls of each motion space."""
    return Controls(
        spaces=[
            SpaceControls(space=space.name, dimension=space.dimension, controls=list(space.controls.values()))
            for space in context.catalogue.spaces.values()
        ]
    )


@router.get("/models")
def list_models(context: ContextDep, _: ReaderDep) -> ModelList:
    """What each model is, was trained on, may be used for and measured."""
    return ModelList(models=[card.facts for card in context.catalogue.cards])


@router.get("/voices")
def list_voices(context: ContextDep, _: ReaderDep) -> VoiceList:
    """What `voice` may be where a video is made of `text`, and the voice of those that name none.

    `espeak-ng` has a voice for each of its languages. Of a `server` those are listed that the operator has chosen; when
    the list is empty, any name is passed on to it.
    """
    speaker = context.speaker
    return VoiceList(speaker=speaker.name, voices=list(speaker.voices), default=speaker.default)


@router.get("/limits")
def list_limits(context: ContextDep, caller: ReaderDep) -> Limits:
    """Which files are taken, and how large, so that they can be checked before they are sent.

    They are recognised by their content. Those that pass may still be refused when they are read.
    """
    settings = context.settings
    return Limits(
        image=FileLimits(
            formats=_formats(IMAGES), max_bytes=settings.max_portrait_bytes, max_pixels=settings.max_pixels
        ),
        audio=FileLimits(
            formats=_formats((*SOUNDS, *VIDEOS)),
            max_bytes=settings.max_audio_bytes,
            max_seconds=settings.max_audio_seconds,
        ),
        video=FileLimits(
            formats=_formats(VIDEOS), max_bytes=settings.max_video_bytes, max_seconds=settings.max_video_seconds
        ),
        max_text_characters=settings.max_text_characters,
        requests=_rate_limits(caller.requests),
        jobs=_rate_limits(caller.jobs),
    )


def _formats(kinds: Iterable[MediaType]) -> list[Format]:
    return [Format(media_type=each.name, title=each.title, suffix=each.suffix) for each in kinds]


def _rate_limits(bounds: Iterable[Bound]) -> list[RateLimit]:
    items = [(Rate.parse(bound.rate), bound.shared) for bound in bounds]
    return [RateLimit(amount=item.amount, seconds=item.seconds, shared=shared) for item, shared in items]
