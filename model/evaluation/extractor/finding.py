"""How many faces are found in whole pictures, and what is taken for one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from model.arrays import Array
from model.evaluation.extractor.conditions import CONDITIONS, with_sunglasses
from model.evaluation.extractor.portraits import LabelledPortrait
from model.evaluation.extractor.scenes import (
    Range,
    Scene,
    scene_with_covered_face,
    scene_with_face,
    scene_with_faces,
    scene_without_face,
)
from model.extractor.detect import FaceDetector
from model.extractor.extractor import Extractor
from model.extractor.window import Window

FOUND = 0.4  # overlap with the face's window from which on it counts as found
HEIGHTS: tuple[Range, ...] = ((60, 110), (110, 220), (220, 950))  # pixels; the last up to the full frame
TILTS: tuple[Range, ...] = ((0, 15), (15, 30), (30, 45))  # degrees to either side
YAWS: tuple[Range, ...] = ((0, 30), (30, 45), (45, 90))
SCENES_PER_STILL = 6
USUAL_HEIGHT, USUAL_TILT = (80.0, 300.0), (0.0, 15.0)  # where something else is judged
FACES = 3  # in scenes with several


@dataclass
class Tally:
    """Faces looked for and found, and finds that are none, over scenes."""

    scenes: int = 0
    faces: int = 0
    found: int = 0
    false: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.scenes + other.scenes, self.faces + other.faces, self.found + other.found, self.false + other.false
        )

    @property
    def recall(self) -> float:
        """Share of the faces that were found."""
        return self.found / self.faces


def finding_figures(
    extractor: Extractor, portraits: list[LabelledPortrait], turned: list[LabelledPortrait], rng: np.random.Generator
) -> dict[str, float]:
    """Recall by size, tilt, turn and condition, and false finds.

    The search is the one that portraits get: it ends with the first find. Only for several_... every face
    is looked for. false_finds_per_scene_with_face counts finds beside the faces of all scenes with one.

    Args:
        extractor: with the detector to judge.
        portraits: faces of people looking about straight on, upright once pasted.
        turned: frames whose heads are turned.
        rng: draws the scenes.
    """
    judge = SceneJudge(extractor, portraits, rng)
    figures, tallies = judge.sizes_and_tilts()
    for name, tally in (judge.turned(turned) | judge.conditions()).items():
        figures |= {f"recall_{name}": tally.recall, f"scenes_{name}": float(tally.scenes)}
        tallies += tally
    figures["false_finds_per_scene_with_face"] = tallies.false / tallies.scenes
    return figures | judge.without_face() | judge.several()


class SceneJudge:
    """Makes scenes of portraits and looks for their faces."""

    def __init__(self, extractor: Extractor, portraits: list[LabelledPortrait], rng: np.random.Generator) -> None:
        self.detector: FaceDetector = extractor.detector
        self.portraits = portraits
        self._reference = extractor.reader.network.reference.numpy()
        self._rng = rng

    def sizes_and_tilts(self) -> tuple[dict[str, float], Tally]:
        """Every size with every tilt, each as often as any other."""
        cells = [(height, tilt) for height in HEIGHTS for tilt in TILTS]
        tallies = {cell: Tally() for cell in cells}
        for number, portrait in enumerate(tqdm(self.portraits, unit="still", mininterval=5.0)):
            for draw in range(SCENES_PER_STILL):
                cell = cells[(number * SCENES_PER_STILL + draw) % len(cells)]
                tallies[cell] += self._look(self._scene(portrait, *cell))
        whole = _sum(tallies.values())
        figures = {"scenes": float(whole.scenes), "recall": whole.recall}
        for height in HEIGHTS:
            each = _sum(tally for cell, tally in tallies.items() if cell[0] == height)
            figures |= {f"recall_{height[0]}_to_{height[1]}_px": each.recall} if each.scenes else {}
        for tilt in TILTS:
            each = _sum(tally for cell, tally in tallies.items() if cell[1] == tilt)
            figures |= {f"recall_tilted_{tilt[0]}_to_{tilt[1]}_degrees": each.recall} if each.scenes else {}
        return figures, whole

    def turned(self, portraits: list[LabelledPortrait]) -> dict[str, Tally]:
        """By yaw, to either side."""
        tallies = {}
        for low, high in YAWS:
            chosen = [portrait for portrait in portraits if low <= abs(portrait.yaw) < high]
            if chosen:
                tallies[f"turned_{low}_to_{high}_degrees"] = self._each(chosen)
        return tallies

    def conditions(self) -> dict[str, Tally]:
        """Poor light, poor files and glasses, each with every second portrait."""
        some = self.portraits[::2]
        tallies = {name: self._each(some, change) for name, change in CONDITIONS.items()}
        return tallies | {"sunglasses": self._each([with_sunglasses(portrait) for portrait in some])}

    def without_face(self) -> dict[str, float]:
        """Share of pictures without a face in which one is found."""
        backgrounds, covered = Tally(), Tally()
        for number, portrait in enumerate(tqdm(self.portraits, unit="still", mininterval=5.0)):
            backgrounds += self._look(scene_without_face(portrait.picture, self._rng))
            backgrounds += self._look(scene_without_face(portrait.picture, self._rng))
            covered += self._look(scene_with_covered_face(portrait, self._backdrop(number), self._rng))
        both = backgrounds + covered
        return {
            "scenes_without_face": float(both.scenes),
            "false_finds_per_scene_without_face": both.false / both.scenes,
            "false_finds_per_background": backgrounds.false / backgrounds.scenes,
            "false_finds_per_covered_face": covered.false / covered.scenes,
        }

    def several(self) -> dict[str, float]:
        """Three faces at once, all looked for: are they found, and does the index count them by size?"""
        tally, in_order, count = Tally(), 0, len(self.portraits)
        for first in tqdm(range(0, count, 2), unit="scene", mininterval=5.0):
            people = [self.portraits[(first + step * count // FACES) % count] for step in range(FACES)]
            scene = scene_with_faces(people, self._backdrop(first), self._reference, self._rng)
            finds = self.detector.sightings(scene.picture, every=True)
            tally += _judged(scene, [find.window for find in finds])
            right = [find.window.overlap(face) >= FOUND for find, face in zip(finds, scene.faces, strict=False)]
            in_order += len(right) == FACES and all(right)
        return {
            "several_scenes": float(tally.scenes),
            "several_recall": tally.recall,
            "several_false_finds_per_scene": tally.false / tally.scenes,
            "several_counted_by_size": in_order / tally.scenes,
        }

    def _each(
        self,
        portraits: list[LabelledPortrait],
        change: Callable[[Array, np.random.Generator], Array] | None = None,
    ) -> Tally:
        tally = Tally()
        for portrait in portraits:
            scene = self._scene(portrait, USUAL_HEIGHT, USUAL_TILT)
            picture = scene.picture if change is None else change(scene.picture, self._rng)
            tally += self._look(Scene(picture, scene.faces))
        return tally

    def _scene(self, portrait: LabelledPortrait, height: Range, tilt: Range) -> Scene:
        backdrop = self._backdrop(int(self._rng.integers(len(self.portraits))))
        return scene_with_face(portrait, backdrop, self._reference, self._rng, height=height, tilt=tilt)

    def _backdrop(self, number: int) -> Array:
        return self.portraits[(number + 1) % len(self.portraits)].picture

    def _look(self, scene: Scene) -> Tally:
        finds = self.detector.sightings(scene.picture, every=False)
        return _judged(scene, [find.window for find in finds])


def _judged(scene: Scene, finds: list[Window]) -> Tally:
    found = sum(any(find.overlap(face) >= FOUND for find in finds) for face in scene.faces)
    false = sum(all(find.overlap(face) < FOUND for face in scene.faces) for find in finds)
    return Tally(1, len(scene.faces), found, false)


def _sum(tallies: Iterable[Tally]) -> Tally:
    return sum(tallies, Tally())
