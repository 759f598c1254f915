"""/v1/controls and /v1/models: what can be asked for here, read from the weight cards."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from service.catalogue import Control
from service.context import ContextDep, ReaderDep
from service.http.openapi import access_responses

router = APIRouter(prefix="/v1", tags=["discovery"], responses=access_responses())


class SpaceControls(BaseModel):
    """One motion space: the length of its vectors and its named controls with their ranges."""

    space: str
    dimension: int
    controls: list[Control]


class Controls(BaseModel):
    """The motion spaces that can be rendered here."""

    spaces: list[SpaceControls]


class Models(BaseModel):
    """The cards of the installed models."""

    models: list[dict[str, Any]]


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
def list_models(context: ContextDep, _: ReaderDep) -> Models:
    """What each model is, was trained on, may be used for and measured."""
    return Models(models=[card.facts for card in context.catalogue.cards])
