"""Whether it moves like a person: spread, speed and jerk of lips and head, and blinks, beside the real ones."""

from collections.abc import Sequence

import numpy as np

from model.arrays import Floats
from model.audio.blinks import find_blinks
from model.audio.clip import SpeechClip
from model.audio.network import SpeechNetwork
from model.evaluation.audio.synchrony import Made, opening_gradient
from model.morphable import MorphableModel
from model.morphable.basis import EXPRESSION, MOTION_FPS, POSE

RANGE = (5, 95)  # percentiles between which a pose's range is taken


def movement_figures(
    network: SpeechNetwork, model: MorphableModel, clips: Sequence[SpeechClip], made: Sequence[Made]
) -> dict[str, float | dict[str, float]]:
    """Means over clips, each figure of one take, of the regressor's lips and of the real person."""
    gradient = opening_gradient(model)
    to_opening = network.code.decoder @ gradient
    rows: dict[str, list[dict[str, float]]] = {"take": [], "regressor": [], "real": []}
    blinks = {"take": 0, "real": 0}
    for number, (clip, one) in enumerate(zip(clips, made, strict=True)):
        centred = clip.motion - clip.motion.mean(dim=0)
        closure = network.blinks.generate(clip.frames, None, np.random.default_rng(number))
        blinks["take"] += len(find_blinks(closure))
        blinks["real"] += len(find_blinks(clip.closure.numpy()))
        rows["take"].append(lips((one.takes[0] @ to_opening).numpy()) | head(one.pose[0].numpy()))
        rows["regressor"].append(lips((one.regressor @ to_opening).numpy()))
        rows["real"].append(lips((centred[:, EXPRESSION] @ gradient).numpy()) | head(centred[:, POSE].numpy()))
    minutes = sum(clip.frames for clip in clips) / MOTION_FPS / 60
    found: dict[str, float | dict[str, float]] = {
        key: {name: float(np.mean([row[key] for row in table])) for name, table in rows.items() if key in table[0]}
        for key in rows["real"][0]
    }
    return found | {"blinks_per_minute": {name: count / minutes for name, count in blinks.items()}}


def lips(opening: Floats) -> dict[str, float]:
    """Spread, speed and jerk of the mouth's opening (T,), in half sides of the crop and seconds."""
    return {
        "opening_deviation": float(opening.std()),
        "opening_speed": float(np.abs(np.diff(opening)).mean() * MOTION_FPS),
        "opening_jerk": float(np.abs(np.diff(opening, 3)).mean() * MOTION_FPS**3),
    }


def head(pose: Floats) -> dict[str, float]:
    """Spread, range, speed and jerk of a head's angles, of pose (T, 6), in degrees and seconds."""
    degrees = np.degrees(pose[:, :3])
    found = {}
    for axis, name in enumerate(("yaw", "pitch", "roll")):
        angle = degrees[:, axis]
        low, high = np.percentile(angle, RANGE)
        found[f"{name}_deviation_degrees"] = float(angle.std())
        found[f"{name}_range_degrees"] = float(high - low)
        found[f"{name}_speed_degrees"] = float(np.abs(np.diff(angle)).mean() * MOTION_FPS)
    return found | {"head_jerk_degrees": float(np.abs(np.diff(degrees, 3, axis=0)).mean() * MOTION_FPS**3)}
