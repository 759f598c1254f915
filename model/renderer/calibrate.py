"""Calibrate a renderer's weights for eight-bit convolutions on a corpus folder's held-out people."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from model.data.clips import Clip
from model.data.pairs import PairData
from model.engines.calibration import Calibration, Example, observe_ranges
from model.engines.openvino_engine import OpenVINOEngine
from model.engines.torch_engine import TorchEngine
from model.metrics.images import psnr
from model.renderer.network import PIRenderer
from model.renderer.released import load_renderer
from model.weights import RENDERER
from model.weights.files import released_weights, write_card

FRAMES_PER_CLIP = 4


def calibrate(data: Path, name: str = RENDERER, directory: Path | None = None) -> dict[str, Any]:
    """Write the field "int8" (a `Calibration`) to the card of the packaged renderer NAME, or of the one in `directory`.

    Every other clip gives the ranges, the clips between them the frames on which the picture is compared.

    Raises:
        WeightsError: weights or card are missing or damaged.
    """
    directory = directory or released_weights()
    network, card = load_renderer(name, directory)
    with tempfile.TemporaryDirectory() as cache:
        held_out = PairData(data, Path(cache), split="val", frames_per_clip=FRAMES_PER_CLIP)
        ranges = observe_ranges(network, _examples(held_out, held_out.clips[::2]))
        decibels = _nearness(network, ranges, _examples(held_out, held_out.clips[1::2]))
    calibration = Calibration(ranges=ranges, frames=len(decibels), psnr_db=round(min(decibels), 2))
    write_card(name, card | {"int8": calibration.model_dump(mode="json")}, directory)
    return {
        "frames": calibration.frames,
        "psnr_db_worst": calibration.psnr_db,
        "psnr_db_mean": round(sum(decibels) / len(decibels), 2),
        "good": calibration.good,
    }


def _examples(held_out: PairData, clips: list[Clip], size: int = 256) -> Iterator[Example]:
    """The first stored frame of each clip driven to every other."""
    for clip in clips:
        for later in range(1, len(clip.frames)):
            batch = held_out.collate([held_out.pair(clip, 0, later, size)], size)
            yield Example(batch.source, batch.motion, batch.prior)


def _nearness(network: PIRenderer, ranges: dict[str, tuple[float, float]], examples: Iterator[Example]) -> list[float]:
    """Decibels of each example's picture in eight bits, against the reference."""
    unjudged = Calibration(ranges=ranges, frames=1, psnr_db=0)
    engines = TorchEngine(network), OpenVINOEngine(network, precision="int8", calibration=unjudged)
    decibels = []
    for example in examples:
        with torch.inference_mode():
            descriptor = network.mapping(example.motion)
        prior = example.prior if network.config.guided else None
        pictures = [engine.render(engine.prepare(example.source), descriptor, prior).image for engine in engines]
        decibels.append(float(psnr(*pictures)))
    return decibels
