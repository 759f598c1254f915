"""How a renderer under training stands: pairs of held-out people, measured and drawn in seconds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.data.batch import Batch
from model.metrics.images import l1, psnr, ssim
from model.renderer.network import PIRenderer, RendererOutput
from model.renderer.warping import pixel_centres, warp

FULL_COLOUR = 0.15  # of the picture's side


def render_batch(network: nn.Module, batch: Batch, *, edit: bool = True) -> RendererOutput:
    """The output for a batch of pairs, on the network's device; `network` is a PIRenderer or what wraps one."""
    inner = cast(PIRenderer, network.module if isinstance(network, DistributedDataParallel) else network)
    batch = batch.to(next(network.parameters()).device)
    prior_flow = batch.prior_flow if inner.config.guided else None
    output: RendererOutput = network(batch.source, batch.motion, prior_flow, edit=edit)
    return output


@torch.no_grad()
def measure(network: PIRenderer, batches: Iterator[Batch]) -> dict[str, float]:
    """Mean PSNR (dB), SSIM and L1 (of 0..1) of the image, of the warped source, and of two baselines, clips alike."""
    sums: dict[str, list[float]] = {}
    clips = 0
    for batch in batches:
        clips += 1
        output = render_batch(network, batch)
        pictures = {"image": output.image, "warped": output.warped, "copy": batch.source}
        if batch.prior_flow is not None:
            pictures["prior_warp"] = warp(batch.source, batch.prior_flow, grid=network.config.grid)
        for name, picture in pictures.items():
            for metric in (psnr, ssim, l1):
                value = metric(picture.float().cpu(), batch.target).mean()
                sums.setdefault(f"{metric.__name__}_{name}", []).append(float(value))
    return {"clips": clips} | {name: round(float(np.mean(values)), 4) for name, values in sums.items()}


@torch.no_grad()
def contact_sheet(network: PIRenderer, batches: Iterator[Batch]) -> np.ndarray:
    """RGB uint8, a row a pair: source, warped, image, target, flow and, when guided, the mask.

    Flow is where each pixel was read less where it is: its direction as hue, its length as strength of the colour.
    """
    rows = []
    for batch in batches:
        output = render_batch(network, batch)
        pictures = [batch.source, output.warped, output.image, batch.target, flow_colours(output.places)]
        if output.mask is not None:
            pictures.append(output.mask.expand(-1, 3, -1, -1) * 2 - 1)
        rows.append(torch.cat([picture[0].float().cpu() for picture in pictures], 2))
    sheet = torch.cat(rows, 1).clamp(-1, 1).add(1).mul(127.5).round()
    return sheet.permute(1, 2, 0).to(torch.uint8).numpy()


def flow_colours(places: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] of sampling grids (B, H, W, 2): white stays, FULL_COLOUR and more is vivid."""
    moved = (places.float().cpu() - pixel_centres((places.shape[1], places.shape[2])).permute(1, 2, 0)) / 2
    turn = torch.atan2(moved[..., 1], moved[..., 0])
    strength = (moved.norm(dim=-1) / FULL_COLOUR).clamp(max=1)
    thirds = torch.arange(3) * (2 * math.pi / 3)
    hue = 0.5 + 0.5 * torch.cos(turn[:, None] - thirds[:, None, None])
    return 1 - 2 * strength[:, None] * (1 - hue)
