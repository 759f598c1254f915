"""Weights for tests that do not look at pixels: the released ones, but for a renderer of next to no channels."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from model.renderer.config import EditingConfig, RendererConfig, WarpingConfig
from model.renderer.network import PIRenderer, initialize
from model.weights import RENDERER
from model.weights.card import RendererCard
from model.weights.files import released_weights, save_weights
from tests.support.processes import Service, need_weights


@contextmanager
def tiny_service(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Service]:
    """A service of one worker, whose pictures nobody looks at."""
    need_weights()
    (weights := folder / "weights").mkdir()
    service = Service(folder)
    try:
        tiny = {**tiny_settings(weights), **(environment or {})}
        for name in ("redis", "api", "worker"):
            service.start(name, environment=tiny)
        yield service
    finally:
        service.stop()


def tiny_settings(folder: Path) -> dict[str, str]:
    """Variables of workers whose pictures nobody looks at; they compile no engine as they start."""
    return {"PIRENDERER_WEIGHTS_DIR": str(write_tiny_weights(folder)), "PIRENDERER_ENGINE": "torch"}


def write_tiny_weights(folder: Path, *, seed: int = 0) -> Path:
    """Into a folder that there is; others of another seed."""
    config = RendererConfig(
        motion_dimension=70,
        descriptor_size=16,
        adain_hidden=16,
        warping=WarpingConfig(base_channels=4, max_channels=8),
        editing=EditingConfig(base_channels=4, max_channels=8, layers=1, residual_blocks=1),
        guided=True,
        doubt=True,
        patch=2,
        grid="aligned",
    )
    for path in released_weights().glob("*.*"):
        if path.suffix in (".json", ".safetensors") and path.stem != RENDERER:
            (folder / path.name).symlink_to(path)
    network = initialize(PIRenderer(config), torch.Generator().manual_seed(seed))
    card = RendererCard(motion_space="open478", dimension=70, config=config.model_dump())
    save_weights(folder, RENDERER, network.state_dict(), card, dtype=torch.float32)
    return folder
