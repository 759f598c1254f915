"""A mouth that opens is dark inside; one that was open shows what it showed."""

import cv2
import numpy as np
import pytest
import torch

from model.animation.mouth import Mouth
from model.engines import RenderedFrames
from model.face.topology import INNER_LIPS
from model.morphable import MorphableModel
from model.morphable.controls import Controls


@pytest.fixture(scope="module")
def closed_and_open(morphable: MorphableModel) -> tuple[np.ndarray, np.ndarray]:
    motion = Controls.load(morphable).apply(np.zeros(80, np.float32), np.zeros(70, np.float32), {"jaw_open": 1.0})
    opened = morphable.landmarks(torch.zeros(1, 80), torch.from_numpy(motion[None]))[0].numpy()
    closed = opened.copy()
    closed[list(INNER_LIPS), 1] = opened[13, 1]
    return closed, opened


def drawn(source: np.ndarray, target: np.ndarray) -> RenderedFrames:
    frames = RenderedFrames(
        np.full((1, 256, 256, 3), 180, np.uint8),
        np.full((1, 256, 256), 0.9, np.float32),
        np.zeros((1, 256, 256, 2), np.float32),
    )
    Mouth(frames.images[0].copy(), source).paint(frames, target)
    return frames


def shown(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    return drawn(source, target).images


def centre_of_mouth(landmarks: np.ndarray) -> tuple[int, int]:
    middle = (landmarks[13] + landmarks[14]) / 2
    return int(middle[1]), int(middle[0])


def test_opening_closed_lips_shows_a_dark_inside(closed_and_open: tuple[np.ndarray, np.ndarray]) -> None:
    closed, opened = closed_and_open
    shaded = shown(closed, opened[None])[0]
    assert shaded[centre_of_mouth(opened)].max() < 100
    outside = np.ones((256, 256), bool)
    low, high = opened[:, :2].min(0).astype(int), opened[:, :2].max(0).astype(int)
    outside[low[1] : high[1], low[0] : high[0]] = False
    assert (shaded[outside] == 180).all()
    row, column = opened[1, 1], opened[1, 0]  # the tip of the nose
    assert (shaded[int(row), int(column)] == 180).all()


def test_nothing_of_the_inside_is_the_sources(closed_and_open: tuple[np.ndarray, np.ndarray]) -> None:
    closed, opened = closed_and_open
    (frame,) = drawn(closed, opened[None])
    assert frame.mask is not None
    assert frame.mask[centre_of_mouth(opened)] < 0.1
    painted = (frame.image != 180).any(-1)
    assert (frame.mask[~painted] > 0.88).all()
    alone = RenderedFrames(np.full((1, 256, 256, 3), 180, np.uint8))  # of a network without a mask
    Mouth(alone.images[0].copy(), closed).paint(alone, opened[None])
    assert np.array_equal(alone.images[0], frame.image)


def test_an_open_mouth_keeps_its_teeth(closed_and_open: tuple[np.ndarray, np.ndarray]) -> None:
    _, opened = closed_and_open
    assert (shown(opened, opened[None]) == 180).all()


def test_a_closed_mouth_stays_as_it_is(closed_and_open: tuple[np.ndarray, np.ndarray]) -> None:
    closed, _ = closed_and_open
    assert (shown(closed, closed[None]) == 180).all()


def test_lips_that_are_pressed_together_are_no_gap(closed_and_open: tuple[np.ndarray, np.ndarray]) -> None:
    closed, opened = closed_and_open
    assert (shown(closed, (closed - 0.5 * (opened - closed))[None]) == 180).all()


def test_teeth_hang_below_the_upper_lip_and_only_there(closed_and_open: tuple[np.ndarray, np.ndarray]) -> None:
    closed, opened = closed_and_open
    painted = shown(closed, opened[None])[0].mean(-1)
    column = int(opened[13, 0])
    inside = painted[int(opened[13, 1]) + 1 : int(opened[14, 1]) - 1, column]
    width = float(np.linalg.norm(opened[78, :2] - opened[308, :2]))
    teeth = np.flatnonzero(inside > 90)
    assert teeth.max() < 0.25 * width < len(inside)
    assert len(teeth) > 0.05 * width


def test_teeth_that_the_portrait_shows_hang_below_the_upper_lip(closed_and_open: tuple[np.ndarray, np.ndarray]) -> None:
    closed, opened = closed_and_open
    little = closed + 0.4 * (opened - closed)
    portrait = np.full((256, 256, 3), 120, np.uint8)
    cv2.fillPoly(portrait, [little[list(INNER_LIPS), :2].round().astype(np.int32)], (250, 250, 250))
    frames = RenderedFrames(
        np.full((1, 256, 256, 3), 120, np.uint8),
        np.full((1, 256, 256), 0.9, np.float32),
        np.zeros((1, 256, 256, 2), np.float32),
    )
    Mouth(portrait, little).paint(frames, opened[None])
    (frame,) = frames
    column, top, bottom = int(opened[13, 0]), int(opened[13, 1]) + 1, int(opened[14, 1]) - 1
    inside = frame.image[top:bottom, column, 0]
    teeth = np.flatnonzero(inside > 190)
    height = little[14, 1] - little[13, 1]
    assert len(teeth) == pytest.approx(height, abs=3), "as high as they were, not stretched"
    assert teeth.max() < len(teeth) + 3, "and below the lip"
    assert inside[-5:].max() < 100, "dark below them"
    row = top + len(teeth) // 2
    assert frame.mask is not None
    assert frame.places is not None
    assert frame.mask[row, column] > 0.8, "they are the portrait's own, at whatever size it has"
    assert frame.mask[bottom - 3, column] < 0.1
    place = (frame.places[row, column] + 1) * 128
    assert place == pytest.approx([little[13, 0], little[13, 1] + row + 0.5 - opened[13, 1]], abs=2)


def test_a_gap_that_is_hardly_stretched_stays_as_it_is(closed_and_open: tuple[np.ndarray, np.ndarray]) -> None:
    closed, opened = closed_and_open
    assert (shown(closed + 0.95 * (opened - closed), opened[None]) == 180).all()
    assert (shown(closed + 0.3 * (opened - closed), opened[None]) != 180).any()
