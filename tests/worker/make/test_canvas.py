"""The frame of the result: sizes, and the face where it was."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from jobs.schemas import ImageOptions, VideoOptions
from model.engines import RenderedFrame
from model.face.crop import Crop
from worker.make.canvas import PhotoCrop, SquareCrop, whole_photo
from worker.make.sitter import Sitter
from worker.stages import Stages


@dataclass(frozen=True)
class CutFace:
    crop: Crop
    image: np.ndarray


def subject() -> tuple[np.ndarray, CutFace]:
    photo = np.full((600, 900, 3), 90, np.uint8)
    return photo, CutFace(Crop(300, 150, 256), photo[150:406, 300:556].copy())


@pytest.mark.parametrize(
    ("longest", "size"), [(None, (600, 900)), (900, (600, 900)), (450, (300, 450)), (1800, (1200, 1800))]
)
def test_the_whole_photo_at_the_size_asked_for(longest: int | None, size: tuple[int, int]) -> None:
    photo, face = subject()
    canvas = whole_photo(photo, face, longest)
    animated = face.image.copy()
    animated[118:138, 118:138] = 255  # the middle of the crop
    frame = canvas.paste(RenderedFrame(animated))
    assert frame.shape == (*size, 3)
    assert (canvas.height, canvas.width) == size
    y, x, _ = np.nonzero(frame > 170)
    scale = size[1] / 900
    assert ((x.mean() + 0.5) / scale, (y.mean() + 0.5) / scale) == pytest.approx((300 + 128, 150 + 128), abs=0.6)


@pytest.mark.parametrize(
    ("options", "longest"),
    [
        (ImageOptions(format="webp"), 2000),
        (VideoOptions(), 1920),
        (VideoOptions(format="webm"), 1920),
        (VideoOptions(format="gif"), 640),
        (VideoOptions(format="webp"), 640),
        (VideoOptions(format="gif", size=1000), 1000),
        (VideoOptions(format="webp", paste_back=False), 256),
    ],
)
def test_a_size_that_is_not_asked_for_is_the_formats(options: ImageOptions | VideoOptions, longest: int) -> None:
    photo = np.full((1000, 2000, 3), 90, np.uint8)
    portrait = SimpleNamespace(photo=photo, face=CutFace(Crop(300, 150, 256), photo[150:406, 300:556]))
    bench = SimpleNamespace(stages=Stages(), models=SimpleNamespace(animator=None))
    assert Sitter(bench, portrait, options).canvas.width == longest  # type: ignore[arg-type]


@pytest.mark.parametrize("side", [64, 256, 512])
def test_the_crop_alone(side: int) -> None:
    photo, face = subject()
    frame = SquareCrop(photo, face, side).paste(RenderedFrame(face.image))
    assert frame.shape == (side, side, 3)
    assert np.abs(frame.astype(int) - 90).max() <= 1


def test_beyond_the_photo_there_is_a_blur_to_be_looked_at() -> None:
    stripes = np.where(np.arange(600) // 8 % 2, 60, 200).astype(np.uint8)
    photo = np.broadcast_to(stripes[:, None, None], (600, 900, 3)).copy()
    crop = Crop(300, -64, 256)  # a quarter of it lies above the photo
    face = CutFace(crop, crop.cut(photo, 256))
    mirrored = SquareCrop(photo, face, 256).paste(RenderedFrame(face.image))
    shown = PhotoCrop(photo, face, 256).paste(RenderedFrame(face.image))
    assert np.array_equal(shown[64:], mirrored[64:])
    assert mirrored[:64].std() > 50
    assert shown[:64].std() < 20
    inside = CutFace(Crop(300, 150, 256), photo[150:406, 300:556].copy())
    plain, looked_at = (kind(photo, inside, 256).paste(RenderedFrame(inside.image)) for kind in (SquareCrop, PhotoCrop))
    assert np.array_equal(plain, looked_at)
