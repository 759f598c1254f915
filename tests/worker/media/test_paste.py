"""Pasting back: geometry, seam and colours."""

import cv2
import numpy as np
import pytest

from model.animation.composite import FEATHER
from model.engines import RenderedFrame
from model.face.crop import Crop
from worker.media.paste import Paster, PlanarPaster
from worker.media.planes import planes, to_yuv


def photo(height: int = 480, width: int = 640) -> np.ndarray:
    """A smooth landscape of colours with a fine texture."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [128 + 60 * np.sin(x / 40 + phase) + 50 * np.cos(y / 33 - phase) for phase in (0.0, 1.0, 2.0)]
    image: np.ndarray = np.clip(np.dstack(waves), 0, 255).astype(np.uint8)
    return image


def cut(image: np.ndarray, crop: Crop, size: int = 256) -> np.ndarray:
    """The crop by its definition: pixel centres at +0.5, mirrored outside."""
    step = crop.side / size
    centres = (np.arange(size) + 0.5) * step - 0.5
    x, y = np.meshgrid(crop.x + centres, crop.y + centres)
    x, y = x.astype(np.float32), y.astype(np.float32)
    crop_image: np.ndarray = cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return crop_image


CROPS = [
    Crop(100, 80, 256),
    Crop(150.4, 60.7, 301.3),
    Crop(200.2, 100.1, 100.5),
    Crop(-60.5, -40.25, 300),  # over the top left corner
    Crop(400, 250, 330),  # over the bottom right corner
]


@pytest.mark.parametrize("crop", CROPS)
def test_an_unchanged_crop_changes_nothing(crop: Crop) -> None:
    image = photo()
    still = cut(image, crop)
    pasted = Paster(image, crop, still).paste(RenderedFrame(still))
    assert pasted.shape == image.shape
    assert pasted.dtype == np.uint8
    difference = np.abs(pasted.astype(int) - image)
    assert difference.max() <= 3
    assert difference.mean() < 0.4


@pytest.mark.parametrize("crop", CROPS)
def test_a_mark_lands_where_it_belongs(crop: Crop) -> None:
    image = photo()
    still = cut(image, crop)
    animated = still.copy()
    animated[118:138, 150:170] ^= 128  # centre at (160, 128) of the crop
    changed = np.abs(Paster(image, crop, still).paste(RenderedFrame(animated)).astype(int) - image).min(axis=2) > 64
    y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]] + 0.5
    centre = (changed * x).sum() / changed.sum(), (changed * y).sum() / changed.sum()
    expected = crop.x + 160 * crop.side / 256, crop.y + 128 * crop.side / 256
    assert centre == pytest.approx(expected, abs=0.35 * max(1, crop.side / 256))


def test_outside_the_crop_nothing_changes() -> None:
    image, crop = photo(), Crop(100, 80, 256)
    animated = np.zeros((256, 256, 3), np.uint8)
    pasted = Paster(image, crop, cut(image, crop)).paste(RenderedFrame(animated))
    outside = np.ones(image.shape[:2], bool)
    outside[80:336, 100:356] = False
    np.testing.assert_array_equal(pasted[outside], image[outside])


def test_there_is_no_step_at_the_edge() -> None:
    image, crop = np.full((480, 640, 3), 120, np.uint8), Crop(100, 80, 256)
    still = cut(image, crop)
    pasted = Paster(image, crop, still).paste(RenderedFrame(np.full_like(still, 200))).astype(int)
    assert np.abs(np.diff(pasted, axis=0)).max() <= 6
    assert np.abs(np.diff(pasted, axis=1)).max() <= 6
    assert pasted[80 + 128, 100 + 128].tolist() == pytest.approx([200] * 3, abs=2)  # the middle is the animation's own


def test_a_tint_of_the_whole_crop_is_matched_at_the_seam() -> None:
    image, crop = photo(), Crop(100, 80, 256)
    still = cut(image, crop)
    tinted = np.clip(still.astype(int) + 20, 0, 255).astype(np.uint8)
    pasted = Paster(image, crop, still).paste(RenderedFrame(tinted)).astype(int)
    inner = round(FEATHER * 256)
    edge = pasted[80 + inner, 100 + 100 : 100 + 156] - image[80 + inner, 100 + 100 : 100 + 156]
    assert np.abs(edge).mean() < 10  # half of the tint, where the mask is already whole


def test_the_photo_itself_is_left_alone() -> None:
    image, crop = photo(), Crop(100, 80, 256)
    before = image.copy()
    Paster(image, crop, cut(image, crop)).paste(RenderedFrame(np.zeros((256, 256, 3), np.uint8)))
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("crop", CROPS)
def test_pasting_in_the_colours_of_video_looks_as_pasting_before_conversion(crop: Crop) -> None:
    image = photo(481, 641)  # an odd last row and column go
    still = cut(image, crop)
    animated = cv2.GaussianBlur(np.roll(still, 5, axis=1), (0, 0), 1.0)
    planar = PlanarPaster(image, crop, still).paste(RenderedFrame(animated))
    expected = to_yuv(Paster(image[:480, :640], crop, still).paste(RenderedFrame(animated)))
    assert planar.shape == expected.shape == (720, 640)
    for plane, like in zip(planes(planar), planes(expected), strict=True):
        difference = np.abs(plane.astype(int) - like)
        assert difference.max() <= 4
        assert difference.mean() < 0.25
