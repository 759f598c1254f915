"""Calibrate a renderer's weights for eight-bit convolutions on a corpus folder's held-out people."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from model.data.batch import Batch
from model.data.pairs import PairData
from model.engines.eight_bits import EightBitCalibration, Example, observe_ranges
from model.engines.openvino_engine import OpenVINOEngine
from model.engines.torch_engine import TorchEngine
from model.metrics.images import psnr
from model.renderer.network import PIRenderer
from model.renderer.released import load_renderer
from model.weights import RENDERER
from model.weights.files import released_weights, write_card

FRAMES_PER_CLIP = 4
PHOTOS = 40


def calibrate(data: Path, name: str = RENDERER, directory: Path | None = None) -> dict[str, Any]:
    """Write the field "int8", an `EightBitCalibration`, to the card of a renderer: NAME as packaged, or in `directory`.

    Every other clip and photo gives the ranges, those between them the pictures that are compared. Photos are turned
    aside and back: heads that turn far show networks what frames of clips seldom do.

    Raises WeightsError: weights or card are missing or damaged.
    """
    directory = directory or released_weights()
    network, card = load_renderer(name, directory)
    with tempfile.TemporaryDirectory() as cache:
        held_out = PairData(data, Path(cache), split="val", frames_per_clip=FRAMES_PER_CLIP)
        ranges = observe_ranges(network, _examples(held_out, 0, network.config.size))
        decibels = _nearness(network, ranges, _examples(held_out, 1, network.config.size))
    calibration = EightBitCalibration(ranges=ranges, frames=len(decibels), psnr_db=round(min(decibels), 2))
    write_card(name, card | {"int8": calibration.model_dump(mode="json")}, directory)
    return {
        "frames": calibration.frames,
        "psnr_db_worst": calibration.psnr_db,
        "psnr_db_mean": round(sum(decibels) / len(decibels), 2),
        "good": calibration.good,
    }


def _examples(held_out: PairData, start: int, size: int) -> Iterator[Example]:
    """Of every other clip the first stored frame driven to each later one; of every other photo the way back."""
    for clip in held_out.clips[start::2]:
        for later in range(1, len(clip.frames)):
            yield _example(held_out.collate([held_out.pair(clip, 0, later, size)], size))
    for number, batch in enumerate(held_out.back_from_the_side(size, pictures=PHOTOS)):
        if number % 4 // 2 == start:  # neighbours go to either side
            yield _example(batch)


def _example(batch: Batch) -> Example:
    return Example(batch.source, batch.motion, batch.prior)


def _nearness(network: PIRenderer, ranges: dict[str, tuple[float, float]], examples: Iterator[Example]) -> list[float]:
    """Decibels of each example's picture in eight bits, against the reference."""
    unjudged = EightBitCalibration(ranges=ranges, frames=1, psnr_db=0)
    engines = TorchEngine(network), OpenVINOEngine(network, precision="int8", calibration=unjudged)
    decibels = []
    for example in examples:
        with torch.inference_mode():
            descriptor = network.mapping(example.motion)
        prior = example.prior if network.config.guided else None
        pictures = [engine.render(engine.prepare(example.source), descriptor, prior).image for engine in engines]
        decibels.append(float(psnr(*pictures)))
    return decibels
