"""A portrait that speaks: lips and face from the sound, the head from it as well or from a video."""

import secrets

import numpy as np

from jobs.schemas import VideoOptions
from model.arrays import Floats
from model.audio import SpeechStyle
from model.morphable.basis import EXPRESSION, POSE
from model.morphable.upper_face import upper_face
from worker.make.motions import Face
from worker.media.audio import Speech
from worker.workbench import Workbench


def speaking(bench: Workbench, face: Face, speech: Speech, options: VideoOptions) -> Floats:
    """The portrait's motion (T, D), 25 a second, as it says `speech`."""
    style = SpeechStyle(
        seed=secrets.randbits(32) if options.seed is None else options.seed,
        temperature=options.temperature,
        expression_scale=options.expression_scale,
        pose_scale=options.pose_scale,
        blink_rate=options.blink_rate,
        still=options.still,
    )
    return np.concatenate(list(bench.models.speech.stream(speech, face.motion, style, identity=face.identity)))


def with_head_of(driven: Floats, spoken: Floats, start: Floats, options: VideoOptions) -> Floats:
    """Motions (T, D) that speak as `spoken` (T, D) and hold the head, the eyes and the brows as `driven` (S, D).

    Both are of the portrait with the motion `start` (D,). A driver that is shorter than the speech goes back and forth.
    """
    driven = np.pad(driven, ((0, max(0, len(spoken) - len(driven))), (0, 0)), "reflect" if len(driven) > 1 else "edge")
    driven = driven[: len(spoken)]
    mixed = spoken.copy()
    mixed[:, EXPRESSION] += upper_face(driven[:, EXPRESSION] - start[EXPRESSION])
    mixed[:, EXPRESSION] -= upper_face(spoken[:, EXPRESSION] - start[EXPRESSION])
    if not options.still:
        mixed[:, POSE] = driven[:, POSE]
    return mixed
