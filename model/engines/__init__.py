"""The renderer's network run fast: one interface, several engines, the plain network being the reference."""

from model.engines.builder import ENGINE_NAMES, EngineSettings, build_engine
from model.engines.engine import Engine, RenderedFrame, RenderedFrames, Rendering

__all__ = [
    "ENGINE_NAMES",
    "Engine",
    "EngineSettings",
    "RenderedFrame",
    "RenderedFrames",
    "Rendering",
    "build_engine",
]
