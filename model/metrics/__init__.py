"""What evaluation measures."""

from model.metrics.images import l1, psnr, ssim

__all__ = ["l1", "psnr", "ssim"]
