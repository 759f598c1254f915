"""The renderer's network run fast: one interface, several engines, the plain network being the reference."""

from model.engines.builder import EngineSettings, build_engine
from model.engines.engine import Engine, Frames, RenderedFrame, RenderedFrames, Rendering, to_frames, to_image

__all__ = [
    "Engine",
    "EngineSettings",
    "Frames",
    "RenderedFrame",
    "RenderedFrames",
    "Rendering",
    "build_engine",
    "to_frames",
    "to_image",
]
