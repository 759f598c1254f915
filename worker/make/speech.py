"""A portrait that speaks: lips and face from the sound, the head from it as well or from a video."""

import numpy as np
from numpy.typing import NDArray

from jobs.schemas import VideoOptions
from model.arrays import Floats
from model.audio import SpeechStyle, SpokenMotions
from model.morphable.basis import EXPRESSION, POSE
from model.morphable.upper_face import upper_face
from worker.make.motions import Face, Motions
from worker.media.audio import Speech
from worker.workbench import Workbench

MIXED_AT_ONCE = 25  # frames; the first ones shall not wait for more of a video than they need


def speaking(bench: Workbench, face: Face, speech: Speech, options: VideoOptions) -> SpokenMotions:
    """The portrait's motion, 25 a second, as it says `speech`."""
    style = SpeechStyle(
        seed=bench.seed if options.seed is None else options.seed,
        temperature=options.temperature,
        expression_scale=options.expression_scale,
        pose_scale=options.pose_scale,
        blink_rate=options.blink_rate,
        still=options.still,
    )
    return bench.models.speech.stream(speech, face.motion, style, identity=face.identity)


def with_head_of(driven: Motions, spoken: Motions, start: Floats, options: VideoOptions) -> Motions:
    """Motions that speak as `spoken` and hold the head, the eyes and the brows as `driven`, of which no more is read.

    Both are of the portrait with the motion `start` (D,). A driver that is shorter than the speech goes back and forth.
    """
    rows: list[Floats] = []  # of the driver: a short one is gone through again
    done = 0
    for block in spoken:
        if block is None:
            yield None
            continue
        for first in range(0, len(block), MIXED_AT_ONCE):
            said = block[first : first + MIXED_AT_ONCE]
            done += len(said)
            if len(rows) < done:
                for more in driven:
                    if more is None:
                        yield None
                        continue
                    rows.extend(more)
                    if len(rows) >= done:
                        break
            numbers = _back_and_forth(np.arange(done - len(said), done), len(rows))
            yield _mixed(np.stack([rows[number] for number in numbers]), said, start, options)


def _mixed(driven: Floats, spoken: Floats, start: Floats, options: VideoOptions) -> Floats:
    mixed = spoken.copy()
    mixed[:, EXPRESSION] += upper_face(driven[:, EXPRESSION] - start[EXPRESSION])
    mixed[:, EXPRESSION] -= upper_face(spoken[:, EXPRESSION] - start[EXPRESSION])
    if not options.still:
        mixed[:, POSE] = driven[:, POSE]
    return mixed


def _back_and_forth(numbers: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Which of `length` rows stand at these places of a sequence that goes to their end, back, and so on."""
    turned = numbers % max(1, 2 * (length - 1))
    return np.minimum(turned, 2 * (length - 1) - turned)
