"""The card of a model, NAME.json beside its weights: what it is, what it was made of, what it measured.

Importing this loads no torch. What a kind of model needs to be built again stands in `config` or in fields of its kind.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

LICENCE = "research and demonstration; the training footage belongs to others (see data)"

Kind = Literal["morphable", "extractor", "skinning", "renderer", "audio", "judge"]


class Control(BaseModel):
    """One named control of a motion space, with its range in `unit`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    group: str
    minimum: float
    maximum: float
    neutral: float
    unit: str
    description: str


class Card(BaseModel):
    """What the cards of all kinds may say. Name, day (UTC) and checksum come when the weights are written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = None
    created: str | None = None
    licence: str = LICENCE
    sha256: str | None = None
    kind: Kind
    version: int | str = 1
    motion_space: str
    dimension: int | None = None  # of the motion space's vectors
    intended_use: str | None = None
    data: str | list[str] | None = None  # what it learned from
    recipe: str | None = None
    hours: float | None = None
    steps: int | None = None
    hardware: str | None = None
    figures: dict[str, Any] | None = None
    config: dict[str, Any] | None = None

    def content(self) -> dict[str, Any]:
        """What stands in the file: all that is said."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class RendererCard(Card):
    """`int8` is a model.engines.eight_bits.EightBitCalibration, if there is one."""

    kind: Literal["renderer"] = "renderer"
    int8: dict[str, Any] | None = None


class MorphableCard(Card):
    """`layout` tells which part of a motion is what, `control_directions` what a control adds to its expression."""

    kind: Literal["morphable"] = "morphable"
    layout: dict[str, tuple[int, int]]
    controls: list[Control]
    control_directions: dict[str, list[float]]
