"""What evaluation measures."""

from model.metrics.images import flicker, l1, psnr, sharpness, ssim

__all__ = ["flicker", "l1", "psnr", "sharpness", "ssim"]
