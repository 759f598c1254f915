"""A mouth that opens is dark inside; one that was open shows what it showed."""

import numpy as np
import pytest
import torch

from model.extractor.topology import INNER_LIPS
from model.morphable import MorphableModel
from model.morphable.controls import Controls
from model.renderer.mouth import shade_mouths


@pytest.fixture(scope="module")
def closed_and_open(morphable: MorphableModel) -> tuple[np.ndarray, np.ndarray]:
    motion = Controls.load(morphable).apply(np.zeros(80, np.float32), np.zeros(70, np.float32), {"jaw_open": 1.0})
    opened = morphable.landmarks(torch.zeros(1, 80), torch.from_numpy(motion[None]))[0].numpy()
    closed = opened.copy()
    closed[list(INNER_LIPS), 1] = opened[13, 1]
    return closed, opened


def picture() -> np.ndarray:
    return np.full((1, 256, 256, 3), 180, np.uint8)


def centre_of_mouth(landmarks: np.ndarray) -> tuple[int, int]:
    middle = (landmarks[13] + landmarks[14]) / 2
    return int(middle[1]), int(middle[0])


def test_opening_closed_lips_shows_a_dark_inside(closed_and_open: tuple[np.ndarray, np.ndarray]) -> None:
    closed, opened = closed_and_open
    shaded = shade_mouths(picture(), closed, opened[None], picture()[0])[0]
    assert shaded[centre_of_mouth(opened)].max() < 90
    outside = np.ones((256, 256), bool)
    low, high = opened[:, :2].min(0).astype(int), opened[:, :2].max(0).astype(int)
    outside[low[1] : high[1], low[0] : high[0]] = False
    assert (shaded[outside] == 180).all()
    row, column = opened[1, 1], opened[1, 0]  # the tip of the nose
    assert (shaded[int(row), int(column)] == 180).all()


def test_an_open_mouth_keeps_its_teeth(closed_and_open: tuple[np.ndarray, np.ndarray]) -> None:
    _, opened = closed_and_open
    assert (shade_mouths(picture(), opened, opened[None], picture()[0]) == 180).all()


def test_a_closed_mouth_stays_as_it_is(closed_and_open: tuple[np.ndarray, np.ndarray]) -> None:
    closed, _ = closed_and_open
    assert (shade_mouths(picture(), closed, closed[None], picture()[0]) == 180).all()
