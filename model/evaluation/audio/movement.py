"""Whether it moves like a person: spread, speed and jerk of lips and head, and blinks, beside the real ones."""

import numpy as np

from model.arrays import Floats
from model.audio.blinks import find_blinks
from model.audio.clip import SpeechClip
from model.audio.network import SpeechNetwork
from model.evaluation.audio.synchrony import Made, Row, opening_gradient
from model.morphable import MorphableModel
from model.morphable.basis import EXPRESSION, MOTION_FPS, POSE

RANGE = (5, 95)  # percentiles between which a pose's range is taken


def movement_figures(network: SpeechNetwork, model: MorphableModel, clip: SpeechClip, made: Made, *, seed: int) -> Row:
    """A clip's figures of one take, of the regressor's lips and of the real person; the seed is that of blinks."""
    gradient = opening_gradient(model)
    to_opening = network.code.decoder @ gradient
    centred = clip.motion - clip.motion.mean(dim=0)
    closure = network.blinks.generate(clip.frames, None, np.random.default_rng(seed))
    by = {
        "take": lips((made.takes[0] @ to_opening).numpy()) | head(made.pose[0].numpy()),
        "regressor": lips((made.regressor @ to_opening).numpy()),
        "real": lips((centred[:, EXPRESSION] @ gradient).numpy()) | head(centred[:, POSE].numpy()),
    }
    found = {name: {who: figures[name] for who, figures in by.items() if name in figures} for name in by["real"]}
    blinks = {"take": closure, "real": clip.lids.numpy()}
    return found | {"blinks": {who: float(len(find_blinks(lids))) for who, lids in blinks.items()}}


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
