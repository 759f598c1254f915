"""Every engine of this machine against the eager network, interleaved in one run."""

import importlib.util
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.engines.builder import EngineSettings, build_engine
from model.engines.engine import Engine, to_frames, to_image
from model.errors import WeightsError
from model.metrics.images import psnr
from model.renderer.config import PRIOR_SCALE, RendererConfig
from model.renderer.cost import count_flops
from model.renderer.editing import ResidualBlock
from model.renderer.mapping import motion_windows
from model.renderer.network import PIRenderer, initialize
from model.weights.files import load_into, load_weights

RELEASED = "renderer-guided-light"
EAGER = "eager"

Renderer = Callable[[], Tensor]
"""Renders all frames of the benchmark: (frames, 3, H, W)."""


def benchmark(
    *,
    frames: int = 8,
    rounds: int = 3,
    network: PIRenderer | None = None,
    size: int = 256,
    threads: int | None = None,
    cache_directory: Path | None = None,
) -> dict[str, Any]:
    """Median milliseconds per frame of each engine, its ratio to eager, and how near its pictures are.

    Eager is the network run as published: float32, one frame at a time, the mapping and everything of the source anew
    for each, and the convolution in each residual block that has no effect. Without a `network` the released renderer
    is measured, or one with random weights where none is released. A first round is not counted.
    """
    weights = "as given"
    if network is None:
        network, weights = _released()
    torch.manual_seed(0)
    source = F.interpolate(torch.rand(1, 3, 16, 16) * 2 - 1, size=(size, size), mode="bicubic").clamp(-1, 1)
    source = to_image(to_frames(source)[0])
    motions = torch.randn(frames, network.config.motion_dimension).cumsum(0) / frames**0.5
    side = size // PRIOR_SCALE
    prior = F.interpolate(torch.randn(frames, 2, 4, 4), size=(side, side), mode="bicubic")
    priors = prior if network.config.guided else None

    renderers: dict[str, Renderer] = {EAGER: _eager(network, source, motions, priors)}
    for name, settings in _settings(threads, cache_directory, frames).items():
        renderers[name] = _engine(build_engine(network, settings), source, motions, priors)
    reference = renderers[EAGER]()
    report = {name: _nearness(render(), reference) for name, render in renderers.items() if name != EAGER}
    times: dict[str, list[float]] = {name: [] for name in renderers}
    for _ in range(rounds):
        for name, render in renderers.items():
            start = time.perf_counter()
            render()
            times[name].append((time.perf_counter() - start) / frames * 1000)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "machine": _machine(),
        "network": {
            "weights": weights,
            "gflop_per_frame": round(count_flops(network, size=size)["frame"] / 1e9, 2),
            "size": size,
        },
        "frames": frames,
        "rounds": rounds,
        **{
            name: {
                "ms_per_frame": round(value, 2),
                "frames_per_second": round(1000 / value, 2),
                "ratio_to_eager": round(medians[EAGER] / value, 2),
                **report.get(name, {}),
            }
            for name, value in medians.items()
        },
    }


def _settings(threads: int | None, cache_directory: Path | None, frames: int) -> dict[str, EngineSettings]:
    """The engines that this machine has."""
    cpu: dict[str, Any] = {"device": "cpu", "threads": threads, "cache_directory": cache_directory}
    settings = {"torch-cpu-float32": EngineSettings(engine="torch", precision="float32", **cpu)}
    if importlib.util.find_spec("openvino"):
        from model.engines.openvino_engine import native_precision  # noqa: PLC0415 - an optional package

        streams = sorted({1, min(threads or _cores(), frames)})
        for precision in sorted({"float32", native_precision()}, reverse=True):
            for number in streams:
                settings[f"openvino-cpu-{precision}-streams{number}"] = EngineSettings.model_validate(
                    {"engine": "openvino", "precision": precision, "streams": number, **cpu}
                )
    if torch.cuda.is_available():
        for precision in ("float32", "bfloat16"):
            settings[f"torch-cuda-{precision}"] = EngineSettings.model_validate(
                {"engine": "torch", "device": "cuda", "precision": precision}
            )
    return settings


def _engine(engine: Engine, source: Tensor, motions: Tensor, priors: Tensor | None) -> Renderer:
    portrait, descriptors = engine.prepare(source), engine.describe(motions)
    return lambda: engine.render(portrait, descriptors, priors).cpu()


def _eager(network: PIRenderer, source: Tensor, motions: Tensor, priors: Tensor | None) -> Renderer:
    network = network.cpu().eval()
    windows = motion_windows(motions, network.config.window_radius)

    def without_effect(block: nn.Module, inputs: tuple[Tensor, Tensor]) -> None:
        if isinstance(block, ResidualBlock):
            block.norm(block.conv(inputs[0]), inputs[1])

    @torch.inference_mode()
    def render() -> Tensor:
        blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
        hooks = [block.register_forward_pre_hook(without_effect) for block in blocks]
        images = [
            network(source, windows[i : i + 1], None if priors is None else priors[i : i + 1]).image
            for i in range(len(windows))
        ]
        for hook in hooks:
            hook.remove()
        return torch.cat(images)

    return render


def _nearness(images: Tensor, reference: Tensor) -> dict[str, float]:
    return {
        "psnr_db": round(psnr(images, reference).min().item(), 2),
        "largest_difference": round((images - reference).abs().max().item(), 6),
    }


def _released() -> tuple[PIRenderer, str]:
    try:
        state, card = load_weights(RELEASED)
    except WeightsError:
        return initialize(PIRenderer(RendererConfig.light(70)), torch.Generator().manual_seed(0)), "random"
    network = PIRenderer(RendererConfig.model_validate(card["config"]))
    load_into(network, state, RELEASED)
    return network.eval(), RELEASED


def _machine() -> dict[str, Any]:
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": _cores(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
