"""A moved crop at the photo's own resolution: detail that the renderer never saw."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from model.animation.composite import FEATHER
from model.engines import RenderedFrame
from model.face.crop import Crop
from worker.make.canvas import SquareCrop
from worker.media.paste import Paster, PlanarPaster
from worker.media.planes import planes


@dataclass(frozen=True)
class CutFace:
    crop: Crop
    image: np.ndarray


def photo(height: int = 900, width: int = 1000) -> np.ndarray:
    """Waves with a fine texture, which 256 pixels cannot show."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    texture = 30 * np.sin(x * 1.9) * np.cos(y * 1.7)
    waves = [128 + 50 * np.sin(x / 60 + phase) * np.cos(y / 50 - phase) + texture for phase in (0.0, 1.0, 2.0)]
    image: np.ndarray = np.clip(np.dstack(waves), 0, 255).astype(np.uint8)
    return image


def places(dx: float = 0.0, dy: float = 0.0) -> np.ndarray:
    """Read `dx`, `dy` crop sides to the right and below."""
    centres = (np.arange(256, dtype=np.float32) + 0.5) / 128 - 1
    x, y = np.meshgrid(centres + 2 * dx, centres + 2 * dy)
    where: np.ndarray = np.dstack((x, y)).astype(np.float32)
    return where


def still(image: np.ndarray, crop: Crop) -> np.ndarray:
    x, y, side = int(crop.x), int(crop.y), int(crop.side)
    cut: np.ndarray = cv2.resize(image[y : y + side, x : x + side], (256, 256), interpolation=cv2.INTER_AREA)
    return cut


def frame(source: np.ndarray, where: np.ndarray, mask: float = 1.0) -> RenderedFrame:
    """What a renderer makes that moves the source and paints nothing: its picture is blurred as the source is."""
    moved = cv2.remap(source, (where + 1) * 128 - 0.5, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return RenderedFrame(moved, np.full((256, 256), mask, np.float32), where)


CROPS = [Crop(150, 100, 700), Crop(60, 40, 512), Crop(200, 200, 300), Crop(300, 250, 200), Crop(0, 0, 900)]


def inner(crop: Crop, share: float = FEATHER) -> tuple[slice, slice]:
    edge = int(crop.side * share)
    y, x, side = int(crop.y), int(crop.x), int(crop.side)
    return slice(y + edge, y + side - edge), slice(x + edge, x + side - edge)


@pytest.mark.parametrize("crop", CROPS)
def test_an_unmoved_crop_keeps_the_photos_detail(crop: Crop) -> None:
    image = photo()
    source = still(image, crop)
    pasted = Paster(image, crop, source).paste(frame(source, places()))
    difference = np.abs(pasted.astype(int) - image)
    assert difference.max() <= 8  # places are read to a thirty-second of a pixel
    assert difference.mean() < 0.6
    without = Paster(image, crop, source).paste(RenderedFrame(source))
    if crop.side >= 512:  # the enlarged picture has none of it
        assert np.abs(without.astype(int) - image)[inner(crop)].mean() > 8


@pytest.mark.parametrize("crop", CROPS)
def test_detail_moves_with_the_crop(crop: Crop) -> None:
    image = photo()
    source = still(image, crop)
    step = 20
    pasted = Paster(image, crop, source).paste(frame(source, places(step / crop.side, -step / crop.side)))
    rows, columns = inner(crop, 0.3)
    expected = image[rows.start - step : rows.stop - step, columns.start + step : columns.stop + step]
    difference = np.abs(pasted[rows, columns].astype(int) - expected)
    assert difference.mean() < 1
    assert difference.max() <= 12


def test_what_lies_around_the_crop_is_brought_in() -> None:
    image, crop = photo(), Crop(200, 200, 512)
    source = still(image, crop)
    canvas = SquareCrop(image, CutFace(crop, source), 512)
    shown = canvas.paste(frame(source, places(-40 / 512, 0)))  # its left edge shows what is 40 pixels outside
    expected = image[200:712, 160:672]
    assert np.abs(shown.astype(int) - expected)[:, :400].mean() < 2


def test_nothing_is_seen_twice_where_movement_fades() -> None:
    image, crop = np.full((900, 1000, 3), 60, np.uint8), Crop(200, 200, 512)
    image[440:460, 200:220] = 255  # a spot on the crop's left edge
    source = still(image, crop)
    pasted = Paster(image, crop, source).paste(frame(source, places(-20 / 512, 0)))
    spots, _ = cv2.connectedComponents((pasted[..., 0] > 150).astype(np.uint8))
    assert spots - 1 == 1
    assert not np.argwhere(pasted[..., 0] < 40).size
    y, x = np.argwhere(pasted[..., 0] > 150).mean(axis=0)
    assert (210 < x < 230, y) == (True, pytest.approx(449.5, abs=1))


def test_a_very_wide_photo_is_no_wider_than_what_is_around_the_crop() -> None:
    image = np.tile(photo(400, 1000), (1, 34, 1))
    crop = Crop(33_300, 60, 300)
    source = still(image, crop)
    pasted = Paster(image, crop, source).paste(frame(source, places()))
    assert np.abs(pasted[:, 33_000:].astype(int) - image[:, 33_000:]).mean() < 0.6


def test_what_the_renderer_painted_is_not_hidden_by_detail() -> None:
    image, crop = photo(), CROPS[0]
    source = still(image, crop)
    drawn = frame(source, places())
    assert drawn.mask is not None
    drawn.image[100:140, 100:140] = 0
    drawn.mask[100:140, 100:140] = 0
    pasted = Paster(image, crop, source).paste(drawn)
    assert pasted[100 + int(120 * 700 / 256), 150 + int(120 * 700 / 256)].max() < 25
    assert pasted[inner(Crop(150 + 102 * 700 / 256, 100 + 102 * 700 / 256, 36 * 700 / 256))].max() < 60


@pytest.mark.parametrize(("mask", "painted"), [(0.92, 0.0), (0.45, 0.5), (0.0, 1.0)])
def test_a_tint_of_paint_is_left_out(mask: float, painted: float) -> None:
    image, crop = np.full((900, 1000, 3), 100, np.uint8), CROPS[0]
    source = still(image, crop)
    drawn = RenderedFrame(
        np.full_like(source, round(100 + 80 * (1 - mask))), frame(source, places(), mask).mask, places()
    )
    pasted = Paster(image, crop, source).paste(drawn)
    assert pasted[450, 500] == pytest.approx(100 + 80 * painted, abs=1.5)


@pytest.mark.parametrize("crop", CROPS)
def test_the_colours_of_video_have_the_detail_too(crop: Crop) -> None:
    image = photo()
    source = still(image, crop)
    paster = PlanarPaster(image, crop, source)
    drawn = frame(source, places(0.03, 0.02))
    luma, *chroma = planes(paster.paste(drawn))
    expected = Paster(image, crop, source).paste(drawn)
    grey = 16 + expected.astype(float) @ np.array([0.2126, 0.7152, 0.0722]) * 219 / 255
    difference = np.abs(luma - grey)[inner(crop, 0.2)]
    assert difference.mean() < 1.5
    assert all(plane.shape == (450, 500) for plane in chroma)
    quiet = Paster(image, crop, source).paste(RenderedFrame(drawn.image))
    assert difference.mean() < np.abs(grey - quiet.mean(axis=2))[inner(crop, 0.2)].mean()
