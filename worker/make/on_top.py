"""Controls and keyframes on top of what moves a portrait: a smile while it speaks, a nod in the middle of a word."""

import numpy as np

from jobs.motions import NamedMotion
from model.morphable.controls import Controls
from worker.make.motions import Face, Motions, interpolate, posed


def on_top(motions: Motions, motion: NamedMotion, face: Face, controls: Controls, fps: float) -> Motions:
    """Motions at `fps` with what controls or keyframes change of the portrait's own motion added to each.

    Keyframes' times count from the first of the motions; before the first and after the last key its change is held.
    """
    times, poses = posed(motion, face, controls)
    changes = poses - face.motion

    def blocks() -> Motions:
        done = 0
        for block in motions:
            if block is None:
                yield None
                continue
            change = interpolate(times, changes, np.arange(done, done + len(block)) / fps)
            done += len(block)
            yield controls.on_top(face.identity, face.motion, change, block)

    return blocks()
