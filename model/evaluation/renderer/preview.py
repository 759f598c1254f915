"""How a renderer under training stands: pairs of held-out people, measured and drawn in seconds."""

import math
from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.arrays import Array
from model.data.batch import Batch
from model.metrics.images import l1, psnr, ssim
from model.metrics.perceptual import PerceptualDistance, perceptual_distance
from model.renderer.guide import Guide
from model.renderer.network import PIRenderer, RendererOutput
from model.renderer.warping import pixel_centres, warp

FULL_COLOUR = 0.15  # of the picture's side


def render_batch(network: nn.Module, batch: Batch, *, edit: bool = True) -> RendererOutput:
    """The output for a batch of pairs, on the network's device; `network` is a PIRenderer or what wraps one."""
    inner = cast(PIRenderer, network.module if isinstance(network, DistributedDataParallel) else network)
    batch = batch.to(next(network.parameters()).device)
    prior = batch.prior if inner.config.guided else None
    output: RendererOutput = network(batch.source, batch.motion, prior, edit=edit)
    return output


@torch.no_grad()
def measure(network: PIRenderer, batches: Iterator[Batch], distance: PerceptualDistance) -> dict[str, float]:
    """Mean figures of the image, the warped source, the colour alone, and of two baselines, pairs alike.

    PSNR (dB), SSIM, L1 (of 0..1) and the perceptual distance; where there is a prior that doubts anything, also PSNR
    and distance weighted by its doubt, as psnr_doubtful and perceptual_doubtful. Nothing where there are no batches.
    """
    sums: dict[str, list[float]] = {}
    for batch in batches:
        output = render_batch(network, batch)
        pictures = {"image": output.image, "warped": output.warped, "colour": output.colour, "copy": batch.source}
        doubt = None
        if batch.prior is not None:
            guide = Guide(batch.prior)
            pictures["prior_warp"] = guide.complete(warp(batch.source, guide.flow, grid=network.config.grid))
            doubt = guide.doubtful if bool(guide.doubtful.any()) else None
        wanted = distance.features(batch.target)
        for name, picture in pictures.items():
            shown = picture.float().cpu()
            seen = distance.features(shown)
            found = {metric.__name__: metric(shown, batch.target) for metric in (psnr, ssim, l1)}
            found["perceptual"] = perceptual_distance(seen, wanted)
            if doubt is not None:
                found["psnr_doubtful"] = psnr(shown, batch.target, doubt)
                found["perceptual_doubtful"] = perceptual_distance(seen, wanted, doubt)
            for figure, values in found.items():
                sums.setdefault(f"{figure}_{name}", []).append(float(values.mean()))
    if not sums:
        return {}
    return {"pairs": len(sums["psnr_image"])} | {
        name: round(float(np.mean(values)), 4) for name, values in sums.items()
    }


@torch.no_grad()
def contact_sheet(network: PIRenderer, batches: Iterator[Batch]) -> Array:
    """RGB uint8, a row a pair: source, warped, image, target, flow and, when guided, the colour and the mask.

    Flow is where each pixel was read less where it is: its direction as hue, its length as strength of the colour.
    """
    rows = []
    for batch in batches:
        output = render_batch(network, batch)
        pictures = [batch.source, output.warped, output.image, batch.target, flow_colours(output.places)]
        if output.mask is not None:
            pictures += [output.colour, output.mask.expand(-1, 3, -1, -1) * 2 - 1]
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
