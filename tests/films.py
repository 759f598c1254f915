"""Small real videos, made of pictures."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np


def film(
    path: Path,
    pictures: Iterable[np.ndarray],
    *,
    fps: int = 25,
    rotation: int = 0,
    times: Sequence[int] | None = None,
    crf: int = 10,
) -> Path:
    """Write RGB pictures (H, W, 3) uint8 with even sides as H.264.

    rotation: counterclockwise degrees that the display matrix tells players to turn by. times: of each picture, in
    frames; evenly spaced when None.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": str(crf)})
        for number, picture in enumerate(pictures):
            if number == 0:
                stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
                if rotation:
                    stream.set_display_rotation(rotation)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = (times[number] if times else number), Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def swaying(
    photo: np.ndarray, count: int, *, size: tuple[int, int] = (320, 400), zoom: float = 0.6, period: int = 24
) -> Iterator[np.ndarray]:
    """A photo (H, W, 3) tilting by up to 12 degrees, shifting and growing, in `count` frames of `size` (width, height).

    What it does not cover is its mirror image. Roll and log scale are those of `sway`.
    """
    width, height = size
    for roll, log_scale in sway(count, period=period):
        middle = (photo.shape[1] / 2, photo.shape[0] / 2)
        to_frame = cv2.getRotationMatrix2D(middle, -np.degrees(roll), zoom * np.exp(log_scale))
        to_frame[:, 2] += (width / 2 - middle[0], height / 2 - middle[1])
        yield cv2.warpAffine(photo, to_frame, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)


def sway(count: int, *, period: int = 24) -> np.ndarray:
    """Roll in radians and log scale (T, 2) of each frame of `swaying`."""
    phase = 2 * np.pi * np.arange(count) / period
    return np.stack([np.radians(12) * np.sin(phase), 0.1 * np.sin(phase / 2)], axis=1)
