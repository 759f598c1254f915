"""Figures of the extractor on people it was not trained on: `pirenderer evaluate extractor`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import structlog
import torch
from tqdm import tqdm

from model.data.corpus import Item, read_corpus
from model.extractor.extractor import Extractor
from model.extractor.linear_face import face_window
from model.extractor.scenes import scene_with_face, scene_without_face
from model.extractor.topology import EYES, IRISES, LID_PAIRS, LIP_PAIRS, MOUTH
from model.extractor.window import Pyramid

log = structlog.get_logger(__name__)

FOUND = 0.4  # overlap with the face's window from which on it counts as found


def evaluate(
    data: Path, *, weights: Path | None = None, frames_per_clip: int = 6, scenes_per_still: int = 3, seed: int = 0
) -> dict[str, float]:
    """Figures on the validation split of a corpus folder.

    Landmarks are refined from a roughly right start (off by up to 15 % in place, 25 % in size, 20 degrees of turn) and
    compared in pixels of the 256 crop; angles are those of the morphable model fitted to both. Finding is judged on
    stills pasted into scenes, and on as many scenes without a face.

    Raises:
        DataError: the corpus is not readable.
        WeightsError: the weights are not usable.
    """
    extractor = Extractor.load(weights)
    rng = np.random.default_rng(seed)
    figures: dict[str, float] = {}
    for kind in ("clip", "still"):
        items = read_corpus(data, split="val", kind=kind)
        figures |= {
            f"{kind}_{name}": value for name, value in _landmark_figures(extractor, items, frames_per_clip, rng).items()
        }
    figures |= _finding_figures(extractor, read_corpus(data, split="val", kind="still"), scenes_per_still, rng)
    return figures


def _landmark_figures(
    extractor: Extractor, items: list[Item], count: int, rng: np.random.Generator
) -> dict[str, float]:
    reference = extractor.reader.network.reference.numpy()
    truths, founds, presences, expected = [], [], [], []
    for item in tqdm(items, unit="item", mininterval=5.0):
        landmarks = item.landmarks()
        indices = np.unique(np.linspace(0, len(landmarks) - 1, count).round().astype(int))
        for index, frame in zip(indices, item.read_frames(indices.tolist()), strict=True):
            start = face_window(landmarks[index], reference).compose(
                np.array([*rng.uniform(-0.15, 0.15, 2), rng.uniform(-0.25, 0.25), rng.uniform(-0.35, 0.35)])
            )
            picture = Pyramid(frame)
            sighting = extractor.reader.refine([picture], [start])[0]
            if item.kind == "still":  # read as photos are, and clips' frames as videos' are
                sighting = extractor.reader.steady(picture, sighting.window)
            truths.append(landmarks[index])
            founds.append(sighting.landmarks)
            presences.append(sighting.presence)
            expected.append(sighting.error_px)
    truth, found = np.stack(truths), np.stack(founds)
    error = np.linalg.norm(found[..., :2] - truth[..., :2], axis=-1)  # (N, 478)
    true_fit, found_fit = (extractor.morphable.fit(torch.from_numpy(points)) for points in (truth, found))
    angles = np.degrees((found_fit.motion - true_fit.motion)[:, 64:67].abs().numpy())
    mean_error = error.mean(axis=1)
    return {
        "frames": float(len(error)),
        "landmark_px": float(error.mean()),
        "landmark_px_median": float(np.median(mean_error)),
        "landmark_px_95th": float(np.percentile(mean_error, 95)),
        "mouth_px": float(error[:, list(MOUTH)].mean()),
        "eyes_px": float(error[:, list(EYES + IRISES)].mean()),
        "mouth_opening_correlation": _gap_correlation(truth, found, LIP_PAIRS),
        "eye_opening_correlation": _gap_correlation(truth, found, LID_PAIRS),
        "yaw_degrees": float(angles[:, 0].mean()),
        "pitch_degrees": float(angles[:, 1].mean()),
        "roll_degrees": float(angles[:, 2].mean()),
        "presence": float(np.mean(presences)),
        "missed": float(np.mean(np.array(presences) < 0.75)),
        "expected_error_correlation": float(np.corrcoef(np.log(expected), np.log(mean_error))[0, 1]),
    }


def _gap_correlation(truth: np.ndarray, found: np.ndarray, pairs: tuple[tuple[int, int], ...]) -> float:
    upper, lower = np.array(pairs).T
    gaps = [
        np.linalg.norm(points[:, upper, :2] - points[:, lower, :2], axis=-1).mean(axis=-1) for points in (truth, found)
    ]
    return float(np.corrcoef(*gaps)[0, 1])


def _finding_figures(
    extractor: Extractor, stills: list[Item], repeats: int, rng: np.random.Generator
) -> dict[str, float]:
    reference = extractor.reader.network.reference.numpy()
    found, extra, false_scenes, scenes = 0, 0, 0, 0
    for portrait, landmarks, backdrop in _portraits(stills, repeats):
        scene = scene_with_face(portrait, landmarks, backdrop, reference, rng)
        sightings = extractor.detector.sightings(scene.picture)
        right = [scene.face is not None and s.window.overlap(scene.face) >= FOUND for s in sightings]
        found += any(right)
        extra += len(right) - sum(right)
        empty = scene_without_face(backdrop, rng)
        false_scenes += bool(extractor.detector.sightings(empty.picture))
        scenes += 1
    return {
        "scenes": float(scenes),
        "recall": found / scenes,
        "false_finds_per_scene_with_face": extra / scenes,
        "false_finds_per_scene_without_face": false_scenes / scenes,
    }


def _portraits(stills: list[Item], repeats: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Each still with its landmarks and, for the background, another still."""
    pictures = [next(iter(item.read_frames([0]))) for item in stills]
    for repeat in range(repeats):
        for number, item in enumerate(tqdm(stills, unit="still", mininterval=5.0)):
            yield pictures[number], item.landmarks()[0], pictures[(number + 1 + 7 * repeat) % len(stills)]
