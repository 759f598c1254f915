"""Training pictures decoded once: a memory-mapped array of small frames with their landmarks."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import structlog

from model.arrays import Array, Frames, Landmarks
from model.data.corpus import Item, read_corpus
from model.errors import DataError
from model.face.crop import CROP_UNITS
from model.face.topology import LID_PAIRS, LIP_PAIRS

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class FrameStore:
    """Pictures (N, S, S, 3) uint8, landmarks (N, 478, 3) float32 in their pixels, and each one's share of the draws."""

    pictures: Frames
    landmarks: Landmarks
    probability: Array

    def __len__(self) -> int:
        return len(self.pictures)


def build_frames(
    data: Path,
    cache: Path,
    *,
    split: str,
    size: int,
    frames_per_clip: int,
    still_share: float,
    maximum_items: int | None = None,
) -> FrameStore:
    """Decode the frames to learn from into `cache` (or open what an earlier call with the same wishes left there).

    Of each clip, half of the frames are spread evenly and half are those with the eyes most shut, the mouth most open
    and the head most turned, which are rare and matter. People weigh alike; `still_share` of the draws are stills.

    Raises DataError: the corpus is not readable or has nothing of that split.
    """
    items = read_corpus(data, split=split)[:maximum_items]
    wish = {"split": split, "size": size, "frames_per_clip": frames_per_clip, "items": [item.id for item in items]}
    stamp = cache / f"frames-{split}.json"
    pictures_path, landmarks_path = cache / f"frames-{split}.npy", cache / f"landmarks-{split}.npy"
    landmarks_of = {item.id: item.landmarks() for item in items}
    chosen = {item.id: _choose(landmarks_of[item.id], frames_per_clip) for item in items}
    total = sum(len(indices) for indices in chosen.values())
    if not (stamp.is_file() and json.loads(stamp.read_text(encoding="utf-8")) == wish):
        cache.mkdir(parents=True, exist_ok=True)
        pictures = np.lib.format.open_memmap(pictures_path, mode="w+", dtype=np.uint8, shape=(total, size, size, 3))
        at = 0
        for item in items:
            at = _decode(item, chosen[item.id], pictures, at)
        pictures.flush()
        landmarks = np.concatenate([landmarks_of[item.id][chosen[item.id]] for item in items]) * (size / CROP_UNITS)
        np.save(landmarks_path, landmarks.astype(np.float32))
        stamp.write_text(json.dumps(wish), encoding="utf-8")
        log.info("frames decoded", split=split, items=len(items), frames=total)
    return FrameStore(
        np.load(pictures_path, mmap_mode="r"), np.load(landmarks_path), _probabilities(items, chosen, still_share)
    )


def _decode(item: Item, indices: Array, pictures: Frames, at: int) -> int:
    size = pictures.shape[1]
    frames = 0
    for frame in item.read_frames(indices.tolist()):
        pictures[at + frames] = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
        frames += 1
    if frames != len(indices):
        raise DataError(
            f"{item.media} has fewer frames than its landmarks: {frames} of {len(indices)} wanted were there"
        )
    return at + frames


def _choose(landmarks: Landmarks, count: int) -> Array:
    """Ascending indices of at most `count` frames of a clip (T, 478, 3)."""
    total = len(landmarks)
    if total <= count:
        return np.arange(total)
    even = np.linspace(0, total - 1, count - count // 2).round().astype(int)
    extreme = max(1, count // 2 // 4)
    lids, lips, turn = _aperture(landmarks, LID_PAIRS), _aperture(landmarks, LIP_PAIRS), _turn(landmarks)
    rare = [order[:extreme] for order in (np.argsort(lids), np.argsort(-lips), np.argsort(turn), np.argsort(-turn))]
    return np.unique(np.concatenate([even, *rare]))


def _aperture(landmarks: Landmarks, pairs: tuple[tuple[int, int], ...]) -> Array:
    upper, lower = np.array(pairs).T
    gap: Array = np.linalg.norm(landmarks[:, upper, :2] - landmarks[:, lower, :2], axis=-1).mean(axis=-1)
    return gap


def _turn(landmarks: Landmarks) -> Array:
    """Where the nose tip lies between the outer eye corners, a cheap stand-in for yaw."""
    left, right, nose = landmarks[:, 263, 0], landmarks[:, 33, 0], landmarks[:, 1, 0]
    turn: Array = (nose - (left + right) / 2) / np.maximum(np.abs(left - right), 1.0)
    return turn


def _probabilities(items: list[Item], chosen: dict[str, Array], still_share: float) -> Array:
    weights = []
    people = {kind: {item.person for item in items if item.kind == kind} for kind in ("clip", "still")}
    of_person: dict[tuple[str, str], int] = {}
    for item in items:
        of_person[item.kind, item.person] = of_person.get((item.kind, item.person), 0) + len(chosen[item.id])
    for item in items:
        share = 1.0 if not all(people.values()) else still_share if item.kind == "still" else 1.0 - still_share
        weight = share / len(people[item.kind]) / of_person[item.kind, item.person]
        weights.append(np.full(len(chosen[item.id]), weight))
    joined = np.concatenate(weights)
    probability: Array = joined / joined.sum()
    return probability
