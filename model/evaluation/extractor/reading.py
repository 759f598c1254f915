"""How well landmarks, angles and confidence are read where a face is roughly known."""

from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from model.arrays import Array
from model.data.corpus import Item
from model.evaluation.extractor.scenes import scene_without_face
from model.evaluation.morphable.evaluate import TURNED_YAW
from model.extractor.detect import confidence_of
from model.extractor.extractor import Extractor
from model.extractor.linear_face import face_window
from model.extractor.reader import Sighting
from model.extractor.window import Pyramid, Window
from model.face.topology import EYES, IRISES, LID_PAIRS, LIP_PAIRS, MOUTH
from model.morphable import MorphableModel
from model.morphable.basis import ANGLES

FRAMES_PER_CLIP = 6
MISSED = 0.75  # presence below which a face counts as overlooked
ELSEWHERE = 256  # windows without a face against which presence is judged


@dataclass(frozen=True, eq=False)
class Readings:
    """Frames read, and what the reader said of itself."""

    truth: Array  # landmarks (N, 478, 3) in crop units
    found: Array  # (N, 478, 3)
    presence: Array  # (N,)
    confidence: Array  # (N,)
    expected_px: Array  # (N,)

    def __add__(self, other: "Readings") -> "Readings":
        names = ("truth", "found", "presence", "confidence", "expected_px")
        return Readings(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))


def reading_figures(
    extractor: Extractor, clips: list[Item], stills: list[Item], rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Figures of the clips, of the stills, and of all their frames together."""
    of_clips, of_stills = (_read(extractor, items, rng) for items in (clips, stills))
    elsewhere = _presence_elsewhere(extractor, stills, rng)
    readings = {"clips": of_clips, "stills": of_stills, "together": of_clips + of_stills}
    return {
        name: landmark_figures(each, extractor.morphable)
        | confidence_figures(each)
        | {"presence_auroc": auroc(each.presence, elsewhere)}
        for name, each in readings.items()
    }


def landmark_figures(readings: Readings, morphable: MorphableModel) -> dict[str, float]:
    """Distances in crop units; angles are those of the morphable model fitted to both landmarks.

    turned_...: of the frames alone whose true yaw is TURNED_YAW degrees or more, where there are any.
    """
    truth, found = readings.truth, readings.found
    error = _error(readings)
    true_fit, found_fit = (morphable.fit(torch.from_numpy(points)).motion for points in (truth, found))
    angles = (found_fit - true_fit)[:, ANGLES].abs().rad2deg()
    mean_error = error.mean(axis=1)
    turned = (true_fit[:, ANGLES.start].abs().rad2deg() >= TURNED_YAW).numpy()
    of_turned = {"turned_frames": float(turned.sum())}
    if turned.any():
        of_turned |= {
            "turned_landmark_px": float(error[turned].mean()),
            "turned_yaw_degrees": float(angles[turned, 0].mean()),
        }
    return {
        "frames": float(len(error)),
        "landmark_px": float(error.mean()),
        "landmark_px_median": float(np.median(mean_error)),
        "landmark_px_95th": float(np.percentile(mean_error, 95)),
        "mouth_px": float(error[:, list(MOUTH)].mean()),
        "eyes_px": float(error[:, list(EYES + IRISES)].mean()),
        "mouth_opening_correlation": _gap_correlation(truth, found, LIP_PAIRS),
        "eye_opening_correlation": _gap_correlation(truth, found, LID_PAIRS),
        **dict(zip(("yaw_degrees", "pitch_degrees", "roll_degrees"), angles.mean(0).tolist(), strict=True)),
        **of_turned,
    }


def confidence_figures(readings: Readings) -> dict[str, float]:
    """Does it know when it is wrong?

    Correlations are between ranks (Spearman 1904): of the confidence that users are told with the error made, which
    should be negative, and of the error it expects, from which the confidence comes. worst_tenth_doubted: the share of
    the tenth with the largest errors that lies in the fifth with the least confidence (0.2 would be chance).
    """
    error = _error(readings).mean(axis=1)
    worst = np.argsort(error)[-max(1, len(error) // 10) :]
    doubted = np.argsort(readings.confidence)[: max(1, len(error) // 5)]
    return {
        "presence": float(readings.presence.mean()),
        "missed": float((readings.presence < MISSED).mean()),
        "confidence_error_correlation": _rank_correlation(readings.confidence, error),
        "expected_error_correlation": _rank_correlation(readings.expected_px, error),
        "worst_tenth_doubted": float(np.isin(worst, doubted).mean()),
    }


def auroc(positive: Array, negative: Array) -> float:
    """Area under the ROC curve: how often a value of `positive` is above one of `negative`; ties count half."""
    above = np.sign(positive[:, None] - negative[None])
    return float((above.mean() + 1) / 2)


def _read(extractor: Extractor, items: list[Item], rng: np.random.Generator) -> Readings:
    """Each frame from a start that is off by up to 15 % in place, 25 % in size and 20 degrees of turn."""
    reference = extractor.reader.network.reference.numpy()
    truths: list[Array] = []
    sightings: list[Sighting] = []
    for item in tqdm(items, unit="item", mininterval=5.0):
        landmarks = item.landmarks()
        indices = np.unique(np.linspace(0, len(landmarks) - 1, FRAMES_PER_CLIP).round().astype(int))
        for index, frame in zip(indices, item.read_frames(indices.tolist()), strict=True):
            start = face_window(landmarks[index], reference).compose(
                np.array([*rng.uniform(-0.15, 0.15, 2), rng.uniform(-0.25, 0.25), rng.uniform(-0.35, 0.35)])
            )
            picture = Pyramid(frame)
            sighting = extractor.reader.refine([picture], [start])[0]
            if item.kind == "still":  # read as photos are, and clips' frames as videos' are
                sighting = extractor.reader.steady(picture, sighting.window)
            truths.append(landmarks[index])
            sightings.append(sighting)
    return Readings(
        np.stack(truths),
        np.stack([sighting.landmarks for sighting in sightings]),
        np.array([sighting.presence for sighting in sightings]),
        np.array([confidence_of(sighting) for sighting in sightings]),
        np.array([sighting.error_px for sighting in sightings]),
    )


def _presence_elsewhere(extractor: Extractor, stills: list[Item], rng: np.random.Generator) -> Array:
    """Presence (ELSEWHERE,) after three looks that start anywhere in scenes without a face."""
    portraits = [next(iter(item.read_frames([0]))) for item in stills]
    pictures, windows = [], []
    for number in range(ELSEWHERE):
        pictures.append(Pyramid(scene_without_face(portraits[number % len(portraits)], rng).picture))
        width, height = pictures[-1].width, pictures[-1].height
        side = min(width, height) * rng.uniform(0.2, 1.0)
        windows.append(Window(rng.uniform(0, width), rng.uniform(0, height), side))
    return np.array([sighting.presence for sighting in extractor.reader.refine(pictures, windows)])


def _error(readings: Readings) -> Array:
    """(N, 478) pixels."""
    distance: Array = np.linalg.norm((readings.found - readings.truth)[..., :2], axis=-1)
    return distance


def _gap_correlation(truth: Array, found: Array, pairs: tuple[tuple[int, int], ...]) -> float:
    upper, lower = np.array(pairs).T
    both = np.stack([truth, found])[..., :2]
    return _correlation(np.linalg.norm(both[:, :, upper] - both[:, :, lower], axis=-1).mean(axis=-1))


def _rank_correlation(first: Array, second: Array) -> float:
    return _correlation(np.argsort(np.argsort(np.stack([first, second]), axis=1), axis=1))


def _correlation(pair: Array) -> float:
    """Of two rows (2, N)."""
    centred = pair - pair.mean(axis=1, keepdims=True)
    return float((centred[0] @ centred[1]) / max(np.sqrt(np.square(centred).sum(axis=1).prod()), 1e-12))
