"""How a renderer under training stands: pairs of held-out people, measured and drawn in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from model.data.corpus import spread
from model.data.pairs import Batch, PairData
from model.metrics.images import l1, psnr, ssim
from model.renderer.network import PIRenderer, RendererOutput
from model.renderer.warping import warp


def render_batch(network: nn.Module, batch: Batch, *, edit: bool = True) -> RendererOutput:
    """The output for a batch of pairs, on the network's device; `network` is a PIRenderer or what wraps one."""
    inner = cast(PIRenderer, network.module if isinstance(network, DistributedDataParallel) else network)
    device = next(network.parameters()).device
    source = batch.source.to(device, memory_format=torch.channels_last)
    prior_flow = batch.prior_flow.to(device) if inner.config.guided else None
    output: RendererOutput = network(source, batch.motion.to(device), prior_flow, edit=edit)
    return output


def first_to_farthest_frame(held_out: PairData, size: int = 256, *, clips: int) -> Iterator[Batch]:
    """One pair each of `clips` clips spread over the data: the first frame to the one that moved most."""
    for clip in spread(held_out.clips, clips):
        moved = (clip.landmarks[0] - clip.landmarks[0][:1]).abs().mean((1, 2))
        yield held_out.collate([held_out.pair(clip, 0, int(moved.argmax()), size)], size)


@torch.no_grad()
def measure(network: PIRenderer, batches: Iterator[Batch]) -> dict[str, float]:
    """Mean PSNR (dB), SSIM and L1 (of 0..1) of the image, of the warped source, and of two baselines, clips alike."""
    sums: dict[str, list[float]] = {}
    clips = 0
    for batch in batches:
        clips += 1
        output = render_batch(network, batch)
        pictures = {"image": output.image, "warped": output.warped, "copy": batch.source}
        pictures["prior_warp"] = warp(batch.source, batch.prior_flow, grid=network.config.grid)
        for name, picture in pictures.items():
            for metric in (psnr, ssim, l1):
                value = metric(picture.float().cpu(), batch.target).mean()
                sums.setdefault(f"{metric.__name__}_{name}", []).append(float(value))
    return {"clips": clips} | {name: round(float(np.mean(values)), 4) for name, values in sums.items()}


@torch.no_grad()
def contact_sheet(network: PIRenderer, batches: Iterator[Batch]) -> np.ndarray:
    """RGB uint8, a row a pair: source, warped, image, target and, when guided, the mask."""
    rows = []
    for batch in batches:
        output = render_batch(network, batch)
        pictures = [batch.source, output.warped, output.image, batch.target]
        if output.mask is not None:
            pictures.append(output.mask.expand(-1, 3, -1, -1) * 2 - 1)
        rows.append(torch.cat([picture[0].float().cpu() for picture in pictures], 2))
    sheet = torch.cat(rows, 1).clamp(-1, 1).add(1).mul(127.5).round()
    return sheet.permute(1, 2, 0).to(torch.uint8).numpy()
