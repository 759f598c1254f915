"""A renderer out of its released weights and their card."""

from pathlib import Path
from typing import Any

from model.renderer.config import RendererConfig
from model.renderer.network import PIRenderer
from model.weights import RENDERER
from model.weights.files import load_into, load_weights


def load_renderer(name: str = RENDERER, directory: Path | None = None) -> tuple[PIRenderer, dict[str, Any]]:
    """The network of the packaged weights NAME, or of those in `directory`, ready to render, and their card.

    Raises WeightsError: weights or card are missing, damaged or do not fit.
    """
    state, card = load_weights(name, directory)
    network = PIRenderer(RendererConfig.model_validate(card["config"]))
    load_into(network, state, name)
    return network.eval(), card
