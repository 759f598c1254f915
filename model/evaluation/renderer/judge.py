"""What a viewer's stand-in, the extractor, sees in pictures, and how far that is from what it should see."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.arrays import Array, Floats, Frames, Landmarks, Pixels
from model.extractor import Extractor
from model.extractor.linear_face import face_window
from model.extractor.window import Pyramid
from model.face.topology import MOUTH
from model.metrics.arcface import ArcFace
from model.metrics.images import crops, l1, psnr, sharpness, ssim
from model.metrics.perceptual import PerceptualDistance, perceptual_distance
from model.morphable.basis import ANGLES, EXPRESSION

Compare = Callable[[Array, Array], Array]
"""Two batches of pictures (B, S, S, 3) uint8 -> one number a pair (B,)."""


@dataclass(frozen=True, eq=False)
class Reading:
    """landmarks (B, 478, 3) in crop units, identity (B, 80), motion (B, 70) under the identity asked for."""

    landmarks: Landmarks
    identity: Floats
    motion: Floats


class Judge:
    """Reads pictures and compares them, `distance` as a network sees them; `more` are further comparisons by name.

    With `recognition`, a network that recognises faces, it also asks that one whether the person is the portrait's.
    """

    def __init__(
        self,
        extractor: Extractor,
        distance: PerceptualDistance,
        more: dict[str, Compare] | None = None,
        recognition: ArcFace | None = None,
    ) -> None:
        self._reader = extractor.reader
        self._morphable = extractor.morphable
        self._distance = distance
        self._more = more or {}
        self._recognition = recognition

    def read(self, pictures: Frames, near: Array, person: Array | None = None) -> Reading:
        """Read pictures (B, S, S, 3), starting where landmarks `near` (B, 478, 3) say that the face should be.

        person (80,): under whose identity motions are fitted; without it each picture's own.
        """
        reference = self._reader.network.reference.numpy()
        windows = [face_window(points, reference) for points in near]
        seen = self._reader.refine([Pyramid(picture) for picture in pictures], windows)
        landmarks = np.stack([sighting.landmarks for sighting in seen])
        fit = self._morphable.fit(torch.from_numpy(landmarks))
        motion = fit.motion
        if person is not None:
            motion = self._morphable.fit(torch.from_numpy(landmarks), torch.from_numpy(person)[None]).motion
        return Reading(landmarks, fit.identity.numpy(), motion.numpy())

    def likeness(self, pictures: Frames, target: Array, landmarks: Landmarks) -> dict[str, Array]:
        """How near pictures come to targets (B, S, S, 3) with those landmarks (B, 478, 3): (B,) of each figure."""
        ours, theirs = _tensor(pictures), _tensor(target)
        mouths = torch.from_numpy(landmarks[:, MOUTH, :2].mean(1))
        figures = {metric.__name__: metric(ours, theirs).numpy() for metric in (psnr, ssim, l1, sharpness)}
        figures["l1_mouth"] = l1(crops(ours, mouths), crops(theirs, mouths)).numpy()
        return figures | {name: compare(pictures, target) for name, compare in self._more.items()}

    @torch.no_grad()
    def perceived(self, pictures: Frames, target: Array, doubt: Tensor) -> dict[str, Array]:
        """How far pictures look from targets (B, S, S, 3), whole and where it is doubtful: (B,) of each figure.

        doubt (B, 1, S, S), 0..1, is `Guide.doubtful`; where it is less than a pixel in all, the figure is NaN.
        """
        ours, theirs = (self._distance.features(_tensor(each).float() / 127.5 - 1) for each in (pictures, target))
        return {
            "perceptual": perceptual_distance(ours, theirs).numpy(),
            "perceptual_doubtful": _if_doubted(perceptual_distance(ours, theirs, doubt), doubt),
        }

    def restored(self, pictures: Frames, target: Array, doubt: Tensor) -> dict[str, Array]:
        """`perceived`, and PSNR likewise."""
        ours, theirs = _tensor(pictures), _tensor(target)
        found = {"psnr": psnr(ours, theirs).numpy(), "psnr_doubtful": _if_doubted(psnr(ours, theirs, doubt), doubt)}
        return found | self.perceived(pictures, target, doubt)

    def resemblance(self, pictures: Frames, seen: Reading, image: Pixels, portrait: Reading) -> dict[str, Array]:
        """`arcface`: cosine (B,) of the features of a recognising network, if there is one, to the image's."""
        if self._recognition is None:
            return {}
        own = self._recognition.features(image[None], portrait.landmarks)
        return {"arcface": _cosine(self._recognition.features(pictures, seen.landmarks), own)}

    @staticmethod
    def obedience(seen: Reading, asked: Reading, portrait: Reading) -> dict[str, Array]:
        """How well pictures follow a motion and keep the person: (B,) of each figure.

        aed: mean absolute difference of the 64 expression coefficients, each of unit variance over people.
        apd: of yaw, pitch and roll, in degrees. identity: cosine of the 80 identity coefficients to the portrait's.
        """
        expression = np.abs(seen.motion - asked.motion)[:, EXPRESSION].mean(1)
        angles = np.degrees(np.abs(seen.motion - asked.motion)[:, ANGLES]).mean(1)
        return {"aed": expression, "apd": angles, "identity": _cosine(seen.identity, portrait.identity)}


def landmark_px(seen: Reading, target: Reading) -> Array:
    """Mean distance (B,) of the 478 landmarks read in both, in crop units."""
    distance: Array = np.linalg.norm(seen.landmarks[..., :2] - target.landmarks[..., :2], axis=-1).mean(-1)
    return distance


def _if_doubted(figures: Tensor, doubt: Tensor) -> Array:
    known: Array = figures.where(doubt.sum((1, 2, 3)) >= 1, torch.nan).numpy()
    return known


def _cosine(a: Array, b: Array) -> Array:
    cosine: Array = (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    return cosine


def _tensor(pictures: Frames) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)
