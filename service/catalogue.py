"""What the weight cards say: which models are installed, their motion spaces and controls. Plain JSON, no torch.

Cards are written as model/weights/card.py has them. The front-end imports nothing of `model`, so what it reads of them
is declared here, and a test holds both together.
"""

import hashlib
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from jobs.motion_spaces import MotionSpace

log = structlog.get_logger(__name__)

# What a card says to people; the rest (directions of controls and the like) is for the models themselves.
FACTS = (
    "name", "kind", "version", "motion_space", "dimension", "created", "licence", "intended_use", "data", "recipe",
    "hours", "hardware", "figures", "sha256",
)  # fmt: skip


class Control(BaseModel):
    """One named control of a motion space, with its range in `unit`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    group: str
    minimum: float
    maximum: float
    neutral: float
    unit: str
    description: str


class Card(BaseModel):
    """The card of one released model: what we read of it, what it tells people as `facts`, and its weights."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    kind: str
    motion_space: str | None = None
    dimension: int | None = None
    controls: tuple[Control, ...] = ()
    facts: dict[str, Any] = {}
    weights: Path

    @property
    def fits(self) -> bool:
        """Whether the weights are those that the card tells of. The whole file is read for that."""
        wanted = self.facts.get("sha256")
        with self.weights.open("rb") as file:
            return wanted is None or hashlib.file_digest(file, "sha256").hexdigest() == wanted


class Catalogue:
    """The installed models."""

    def __init__(self, cards: Iterable[Card]) -> None:
        self.cards = sorted(cards, key=lambda card: (card.kind, card.name))
        self.kinds = frozenset(card.kind for card in self.cards)

    @classmethod
    def read(cls, folder: Path | None) -> "Catalogue":
        """Read the cards of a folder, or of the packaged weights. A card counts only beside its weights."""
        folder = folder or packaged_weights()
        cards = []
        for path in sorted(folder.glob("*.json")) if folder else []:
            try:
                facts = json.loads(path.read_text())
                told = {key: facts[key] for key in FACTS if key in facts}
                card = Card.model_validate({**facts, "facts": told, "weights": path.with_suffix(".safetensors")})
            except (ValueError, TypeError, ValidationError) as error:
                log.warning("a weights card cannot be read", card=path.name, error=str(error))
                continue
            if card.weights.exists():
                cards.append(card)
            else:
                log.warning("a weights card has no weights beside it", card=path.name)
        return cls(cards)

    def missing(self, kinds: Iterable[str]) -> list[str]:
        """Which of these kinds of model are not installed."""
        return sorted(set(kinds) - self.kinds)

    @property
    def spaces(self) -> dict[str, MotionSpace[Control]]:
        """The motion spaces some installed renderer speaks."""
        controls = {card.motion_space: card.controls for card in self.cards if card.kind == "morphable"}
        return {
            card.motion_space: MotionSpace(
                card.motion_space,
                card.dimension,
                {control.name: control for control in controls.get(card.motion_space, ())},
            )
            for card in self.cards
            if card.kind == "renderer" and card.motion_space is not None and card.dimension is not None
        }


def packaged_weights() -> Path | None:
    """The folder of the weights that come with the package, found without importing any model code."""
    spec = importlib.util.find_spec("model")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "weights"
