"""The renderer: a source portrait and a motion become a picture."""

from model.renderer.config import EditingConfig, RendererConfig, WarpingConfig
from model.renderer.mapping import motion_windows
from model.renderer.network import PIRenderer, PortraitState, RendererOutput, initialize
from model.renderer.official import load_official_checkpoint
from model.renderer.warping import warp

__all__ = [
    "EditingConfig",
    "PIRenderer",
    "PortraitState",
    "RendererConfig",
    "RendererOutput",
    "WarpingConfig",
    "initialize",
    "load_official_checkpoint",
    "motion_windows",
    "warp",
]
