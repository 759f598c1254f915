"""What makes a face hard to see: light, camera, file, and glasses."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import cv2
import numpy as np

from model.arrays import Array, Pixels
from model.data.camera import compress, light_from_side
from model.evaluation.extractor.portraits import LabelledPortrait
from model.face.topology import LEFT_EYE, RIGHT_EYE

DARK = (25, 22, 20)


def dark(picture: Pixels, rng: np.random.Generator) -> Array:
    """A sixth of the light, with the noise of a sensor (standard deviation 3 of 255)."""
    noisy: Array = picture / 6.0 + rng.normal(0, 3.0, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def lit_from_a_side(picture: Pixels, rng: np.random.Generator) -> Array:
    """Five times as much light from one side as from the other."""
    return light_from_side(picture, 0.8, rng.uniform(0, 2 * np.pi))


def grey(picture: Pixels, rng: np.random.Generator) -> Array:
    """Without colours."""
    del rng
    plane = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.repeat(plane[..., None], 3, axis=2)


def compressed(picture: Pixels, rng: np.random.Generator) -> Array:
    """A JPEG of quality 10."""
    del rng
    return compress(picture, 10)


CONDITIONS: Mapping[str, Callable[[Array, np.random.Generator], Array]] = {
    "dark": dark,
    "lit_from_a_side": lit_from_a_side,
    "grey": grey,
    "compressed": compressed,
}


def with_sunglasses(portrait: LabelledPortrait) -> LabelledPortrait:
    """The portrait with dark round glasses drawn onto it, through which nothing is seen."""
    picture = portrait.picture.copy()
    lenses = []
    for eye in (RIGHT_EYE, LEFT_EYE):
        points = portrait.landmarks[list(eye), :2]
        centre, width = points.mean(axis=0), float(np.ptp(points[:, 0]))
        lenses.append(centre.round().astype(int).tolist())
        cv2.circle(picture, lenses[-1], max(2, round(0.8 * width)), DARK, -1, cv2.LINE_AA)
    cv2.line(picture, lenses[0], lenses[1], DARK, 3, cv2.LINE_AA)
    return replace(portrait, picture=picture)
