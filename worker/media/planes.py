"""Pictures in the colours of video: BT.709, limited range, luma and chroma in planes of their own."""

from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from model.arrays import Pixels


def to_yuv(rgb: Pixels) -> Pixels:
    """Convert uint8 (H, W, 3), whose sides must be even, to yuv420p: (H * 3 / 2, W)."""
    converted: Pixels = yuv_frame(rgb).to_ndarray()
    return converted


def yuv_frame(picture: Pixels) -> Any:
    """An av.VideoFrame of RGB, uint8 (H, W, 3), converted; or of what is yuv420p already, uint8 (H * 3 / 2, W)."""
    if picture.ndim == 2:
        return av.VideoFrame.from_ndarray(picture, format="yuv420p")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)


def planes(picture: Pixels) -> tuple[Pixels, Pixels, Pixels]:
    """Views of Y (H, W), U and V (H / 2, W / 2) in yuv420p, contiguous uint8 (H * 3 / 2, W)."""
    height, width = len(picture) * 2 // 3, picture.shape[1]
    luma, chroma = picture[:height], picture[height:].reshape(2, height // 2, width // 2)
    return luma, chroma[0], chroma[1]
