"""/v1/controls, /v1/models and /v1/voices: what can be asked for here."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

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
