"""Small real videos, made of pictures."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from model.arrays import Pixels


def seconds_of(stream: av.VideoStream | av.AudioStream) -> float:
    """How long a stream lasts."""
    assert stream.duration is not None
    assert stream.time_base is not None
    return float(stream.duration * stream.time_base)


def film(
    path: Path,
    pictures: Iterable[np.ndarray],
    *,
    fps: int = 25,
    rotation: int = 0,
    mirrored: bool = False,
    pixel_ratio: Fraction = Fraction(1),
    cover: np.ndarray | None = None,
    times: Sequence[int] | None = None,
    crf: int = 10,
    codec: str = "libx264",
) -> Path:
    """Write RGB pictures (H, W, 3) uint8 with even sides as H.264, or by another codec, without B-frames.

    rotation: counterclockwise degrees that the display matrix tells players to turn by, and `mirrored` whether left and
    right change places then. pixel_ratio: width of a pixel over its height. cover: a picture of the file, which is no
    part of the video. times: of each picture, in frames; evenly spaced when None.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec, rate=fps, options={"crf": str(crf)} if codec == "libx264" else {"qscale": "2"}
        )
        assert isinstance(stream, av.VideoStream)
        for number, picture in enumerate(pictures):
            if number == 0:
                stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
                stream.codec_context.sample_aspect_ratio = pixel_ratio
                if rotation or mirrored:
                    stream.set_display_rotation(rotation, hflip=mirrored)
                if cover is not None:
                    add_cover(container, cover)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = (times[number] if times else number), Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def pictures_of(path: Path) -> Pixels:
    """All pictures of a film (T, H, W, 3)."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24").astype(np.uint8) for frame in container.decode(video=0)])


def add_cover(container: av.container.OutputContainer, cover: np.ndarray) -> None:
    """Give a file that is being written a picture (H, W, 3) uint8 with even sides that is no part of the video."""
    stream = container.add_stream("mjpeg", rate=1)
    stream.height, stream.width, stream.pix_fmt = *cover.shape[:2], "yuvj420p"
    stream.disposition = av.stream.Disposition.attached_pic
    container.mux(stream.encode(av.VideoFrame.from_ndarray(cover, format="rgb24").reformat(format="yuvj420p")))


def with_cover_first(path: Path) -> Path:
    """An MP4 whose tags, and so its cover, stand before its tracks, as programs that write tags put them."""
    data = path.read_bytes()
    start = data.index(b"moov") - 4
    end = start + int.from_bytes(data[start : start + 4], "big")
    atoms, place = [], start + 8
    while place < end:
        length = int.from_bytes(data[place : place + 4], "big")
        atoms.append(data[place : place + length])
        place += length
    order = [b"mvhd", b"udta"]
    atoms.sort(key=lambda atom: order.index(atom[4:8]) if atom[4:8] in order else len(order))
    path.write_bytes(data[: start + 8] + b"".join(atoms) + data[end:])
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
