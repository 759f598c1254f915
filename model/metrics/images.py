"""How near one batch of pictures is to another: L1, PSNR and SSIM, one number per picture; sharpness and flicker.

Every function takes two tensors (B, C, H, W) of one kind: uint8, or floating point in [-1, 1].
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from model.face.crop import CROP_UNITS

MOUTH_CROP = 80  # crop units: lips of the widest mouths and their surroundings
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5


def l1(image: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference as a share of the range of values: (B,), 0 is equal, 1 is black against white."""
    a, b = _as_unit(image, target)
    return (a - b).abs().mean(dim=(1, 2, 3))


def psnr(image: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio in dB: (B,); infinite for equal pictures.

    weight (B, 1, H, W), not negative: how much each pixel counts; alike without it.
    """
    a, b = _as_unit(image, target)
    error = (a - b).square().mean(dim=1, keepdim=True)
    if weight is None:
        return -10 * error.mean(dim=(1, 2, 3)).log10()
    share = weight.to(error)
    return -10 * ((share * error).sum(dim=(1, 2, 3)) / share.sum(dim=(1, 2, 3)).clamp_min(1e-9)).log10()


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (Wang et al., IEEE TIP 2004), mean over pixels and channels: (B,), 1 is equal.

    Gaussian window of 11 pixels, sigma 1.5, without padding; both sides of a picture must be at least 11.
    """
    a, b = _as_unit(image, target)
    channels, height, width = a.shape[1:]
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(f"pictures are {width}x{height}; SSIM needs both sides at least {SSIM_WINDOW}")
    offsets = torch.arange(SSIM_WINDOW, device=a.device, dtype=a.dtype) - SSIM_WINDOW // 2
    kernel = torch.exp(-offsets.square() / (2 * SSIM_SIGMA**2))
    kernel = (kernel / kernel.sum()).expand(channels, 1, 1, -1)

    def local_mean(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, kernel, groups=channels), kernel.transpose(2, 3), groups=channels)

    mean_a, mean_b = local_mean(a), local_mean(b)
    variance_a = local_mean(a * a) - mean_a * mean_a
    variance_b = local_mean(b * b) - mean_b * mean_b
    covariance = local_mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return (luminance * structure).mean(dim=(1, 2, 3))


def sharpness(image: Tensor, target: Tensor) -> Tensor:
    """Variance of the Laplacian of the luma of `image` over that of `target`: (B,), 1 is as sharp, less is softer."""
    a, b = _as_unit(image, target)
    kernel = a.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, None]
    ours, theirs = (F.conv2d(_luma(x), kernel).flatten(1).var(dim=1) for x in (a, b))
    return ours / theirs


def flicker(frames: Tensor, target: Tensor) -> float:
    """Mean absolute second difference in time of frames (T, C, H, W), T >= 3, over that of `target`.

    Smooth motion has almost none of it, trembling and popping have much: 1 is as the target, more is restless.
    """
    a, b = _as_unit(frames, target)
    if len(a) < 3:
        raise ValueError(f"a video of {len(a)} frames; flicker needs 3 or more")
    ours, theirs = (float((x[2:] - 2 * x[1:-1] + x[:-2]).abs().mean()) for x in (a, b))
    return ours / theirs


def crops(images: Tensor, centres: Tensor) -> Tensor:
    """Squares (B, 3, s, s) of images (B, 3, S, S) around centres (B, 2) in crop units; s = S * MOUTH_CROP / CROP_UNITS.

    Squares that would reach over the rim are shifted into the picture.
    """
    size = images.shape[-1]
    side = size * MOUTH_CROP // CROP_UNITS
    corners = (centres * (size / CROP_UNITS) - side / 2).round().long().clamp(0, size - side).tolist()
    return torch.stack([image[:, y : y + side, x : x + side] for image, (x, y) in zip(images, corners, strict=True)])


def _luma(unit: Tensor) -> Tensor:
    return (unit * unit.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)


def _as_unit(image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float64 in [0, 1]."""
    if image.shape != target.shape or image.dim() != 4:
        raise ValueError(f"shapes are {tuple(image.shape)} and {tuple(target.shape)}; allowed is (B, C, H, W) twice")
    if image.dtype == torch.uint8 and target.dtype == torch.uint8:
        return image.double() / 255, target.double() / 255
    if image.is_floating_point() and target.is_floating_point():
        return (image.double() + 1) / 2, (target.double() + 1) / 2
    raise ValueError(f"dtypes are {image.dtype} and {target.dtype}; allowed are two uint8 or two floating point")
