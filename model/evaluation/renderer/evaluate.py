"""What a released renderer is worth on held-out people: `pirenderer evaluate renderer`.

Everything is drawn as the service draws it, engine and all. Beside it stand baselines that need no network: the source
as it is (`copy`), its mesh moved to where the model has the landmarks (`prior`, which the network starts from), and to
where the target's landmarks truly are (`mesh`, a piecewise affine warp that is told the answer).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.animation.animator import Animator
from model.animation.composite import composed
from model.arrays import Array, Floats, Frames
from model.data.batch import WINDOW, Batch
from model.data.corpus import spread
from model.engines.torch_engine import TorchEngine
from model.evaluation.renderer.fidelity import control_sheet, draw_stills, follow_controls
from model.evaluation.renderer.heldout import HeldOutClip, held_out_clip, held_out_items, held_out_stills, turned_aside
from model.evaluation.renderer.judge import Compare, Judge, Reading, landmark_px
from model.evaluation.renderer.preview import render_batch
from model.extractor import Extraction, Extractor
from model.metrics.arcface import ArcFace
from model.metrics.images import flicker
from model.metrics.memory import give_back
from model.metrics.perceptual import PerceptualDistance
from model.morphable import MorphableModel
from model.morphable.basis import ANGLES
from model.pictures import to_frames, to_image
from model.renderer.guide import Guide
from model.renderer.prior.prior import Prior, guided
from model.weights import RENDERER

FAR_APART_YAW = 15.0  # degrees between source and target from which on a pair is also reported apart
TURNS = (20, 30)  # degrees of yaw by which photos are turned aside and back
DOUBTFUL = 0.5  # of the guide's doubt in one: from here on a pixel counts as doubtful
SHEET_PEOPLE = 10

Row = dict[str, Array]
"""One method on one clip: (B,) of each figure, and () of those of the whole."""


def evaluate(
    data: Path,
    *,
    name: str = RENDERER,
    weights: Path | None = None,
    engine: str = "auto",
    clips: int | None = None,
    stills: int | None = None,
    sheet: Path | None = None,
    more: Mapping[str, Compare] | None = None,
    recognition: ArcFace | None = None,
) -> dict[str, dict[str, Any]]:
    """Tables of the packaged renderer NAME, or of that in the folder `weights`, on a corpus's val split at 256x256.

    same_identity: a clip's first frame driven to later ones, a good part of them the most expressive.
    same_identity_far_yaw: those of its pairs that differ by FAR_APART_YAW degrees or more.
    cross_identity: the same driven by another person's clip.
    warp_back_20, warp_back_30: photos turned aside by so many degrees of yaw and driven back, so that all of the truth
    is known. controls: see `follow_controls`.
    Frames count alike in a clip, clips alike in the whole, and so do photos. `clips` and `stills` bound how many are
    looked at; `sheet` is where a picture of ten people at nine motions goes; `more` are further comparisons with the
    target, and `recognition` tells, as arcface, whether the person is still the portrait's.

    Raises DataError: the corpus is not readable.
    Raises WeightsError: weights are not usable, or those by which pictures are compared are not installed.
    """
    distance = PerceptualDistance()
    animator = Animator.load(engine=engine, name=name, directory=weights)
    extractor = Extractor.load()
    evaluation = Evaluation(animator, Judge(extractor, distance, dict(more or {}), recognition), extractor.morphable)
    items = held_out_items(data, clips=clips)
    # Every clip is driven by the one half the list away: neighbours are often the same person's.
    drivers = [*items[len(items) // 2 :], *items[: len(items) // 2]]
    same, far, cross = [], [], []
    for item, driver in zip(items, drivers, strict=True):
        # Read when their turn comes, and only their figures are kept.
        clip = held_out_clip(item, extractor.morphable)
        rows = evaluation.same_identity(clip)
        same.append(rows)
        if (turned := _far(clip)).any():
            far.append(_only(rows, turned))
        cross.append(evaluation.cross_identity(clip.portrait, held_out_clip(driver, extractor.morphable)))
        give_back()
    tables: dict[str, dict[str, Any]] = {
        "same_identity": _table(same),
        "same_identity_far_yaw": _table(far),
        "cross_identity": _table(cross),
    }
    portraits = list(held_out_stills(data, extractor.morphable, stills=stills))
    tables |= {f"warp_back_{degrees}": evaluation.back_from_the_side(portraits, degrees) for degrees in TURNS}
    tables["controls"] = follow_controls(animator, extractor, portraits)
    if sheet is not None:
        control_sheet(animator, extractor.morphable, spread(portraits, SHEET_PEOPLE), sheet)
    return tables


class Evaluation:
    """A renderer and what judges it."""

    def __init__(self, animator: Animator, judge: Judge, morphable: MorphableModel) -> None:
        self.animator, self.judge, self.morphable = animator, judge, morphable
        self._prior = animator.prior or Prior.load(morphable)

    def same_identity(self, clip: HeldOutClip) -> dict[str, Row]:
        """The first frame driven to the clip's own: rows by method."""
        near, person = clip.landmarks[clip.frames], clip.portrait.identity
        target, doubt = clip.shown(clip.frames), self._guide(clip.portrait, clip.motions[clip.frames]).doubtful
        portrait = self._read(clip.portrait)
        person = portrait.identity[0]
        asked = self.judge.read(target, near, person)
        rows: dict[str, Row] = {}
        for name, pictures in self._methods(clip.portrait, clip, clip.frames, told=True):
            around = np.broadcast_to(clip.portrait.landmarks, near.shape) if name == "copy" else near
            seen = self.judge.read(pictures, around, person)
            rows[name] = self.judge.likeness(pictures, target, near) | self.judge.obedience(seen, asked, portrait)
            rows[name] |= self.judge.perceived(pictures, target, doubt)
            rows[name] |= self.judge.resemblance(pictures, seen, clip.portrait.image, portrait)
            rows[name]["landmark_px"] = landmark_px(seen, asked)
        for name, pictures in self._methods(clip.portrait, clip, clip.run, told=True):
            rows[name]["flicker"] = np.array(flicker(_tensor(pictures), _tensor(clip.shown(clip.run))))
        return rows

    def cross_identity(self, portrait: Extraction, driver: HeldOutClip) -> dict[str, Row]:
        """A portrait in another person's motion: rows by method. Sharpness is against the portrait."""
        own = self._read(portrait)
        first = self._read(driver.portrait)
        asked = self.judge.read(driver.shown(driver.frames), driver.landmarks[driver.frames], first.identity[0])
        near = self._landmarks(portrait, driver.motions[driver.frames])
        rows: dict[str, Row] = {}
        for name, pictures in self._methods(portrait, driver, driver.frames, told=False):
            around = np.broadcast_to(portrait.landmarks, near.shape) if name == "copy" else near
            seen = self.judge.read(pictures, around, own.identity[0])
            rows[name] = self.judge.obedience(seen, asked, own) | self.judge.resemblance(
                pictures, seen, portrait.image, own
            )
            source = np.broadcast_to(portrait.image, pictures.shape)
            rows[name]["sharpness"] = self.judge.likeness(pictures, source, around)["sharpness"]
        for name, pictures in self._methods(portrait, driver, driver.run, told=False):
            rows[name]["flicker"] = np.array(flicker(_tensor(pictures), _tensor(driver.shown(driver.run))))
        return rows

    def back_from_the_side(self, photos: Sequence[Extraction], degrees: float) -> dict[str, Any]:
        """The table of photos turned by so many degrees to either side and driven back to what they were."""
        rows, doubtful = [], []
        for photo in photos:
            for turn in (degrees, -degrees):
                source = turned_aside(photo, turn, self.morphable, self._prior)
                guide = self._guide(source, photo.motion[None])
                rows.append(
                    {
                        name: self.judge.restored(pictures, photo.image[None], guide.doubtful)
                        for name, pictures in self._ways_back(source, photo.motion, guide)
                    }
                )
                doubtful.append(float((guide.doubtful > DOUBTFUL).float().mean()))
            give_back()
        table: dict[str, Any] = {"photos": len(photos), "pairs": len(rows)}
        return table | ({"doubtful_share": round(float(np.mean(doubtful)), 4)} | _means(rows) if rows else {})

    def _ways_back(self, source: Extraction, motion: Floats, guide: Guide) -> Iterator[tuple[str, Array]]:
        """Pictures (1, S, S, 3) of the source in a motion (70,), to which the guide leads, by method.

        `colour`, the editing network's paint without what is moved, is told where the engine runs the plain network.
        """
        yield "renderer", draw_stills(self.animator, source, motion[None])
        engine, image = self.animator.engine, to_image(source.image)
        if isinstance(engine, TorchEngine) and engine.network.config.guided:
            window = torch.from_numpy(motion)[None, :, None].expand(-1, -1, WINDOW)
            batch = Batch(source=image, target=image, motion=window, prior=guide.prior)
            yield "colour", to_frames(render_batch(engine.network, batch).colour)
        yield "prior", guided(source, guide)
        yield "copy", source.image[None]

    def _methods(
        self, portrait: Extraction, driver: HeldOutClip, frames: list[int], *, told: bool
    ) -> Iterator[tuple[str, Array]]:
        """Pictures (B, S, S, 3) of the driver's frames by method; `told`: the true landmarks are known."""
        drawn = self.animator.animate(self.animator.prepare(portrait), driver.motions, frames=frames)
        yield "renderer", np.concatenate([composed(portrait.image, part) for part in drawn])
        if told:
            yield "mesh", self._prior.moved(portrait, driver.landmarks[frames], driver.motions[frames])
        yield "prior", guided(portrait, self._guide(portrait, driver.motions[frames]))
        yield "copy", np.repeat(portrait.image[None], len(frames), 0)

    def _guide(self, portrait: Extraction, motions: Floats) -> Guide:
        """What leads the portrait to motions (B, 70) as it is served."""
        return self._prior.guide_of(portrait, self._landmarks(portrait, motions), motions)

    def _landmarks(self, portrait: Extraction, motions: Floats) -> Array:
        """Where the model has the portrait's landmarks (B, 478, 3) under motions (B, 70)."""
        points, own, identity = map(torch.from_numpy, (portrait.landmarks, portrait.motion, portrait.identity))
        return self.morphable.move(points, identity[None], own, torch.from_numpy(motions)).numpy()

    def _read(self, portrait: Extraction) -> Reading:
        return self.judge.read(portrait.image[None], portrait.landmarks[None])


def _far(clip: HeldOutClip) -> Array:
    """Which of the clip's frames (B,) are turned far from its first."""
    turned = np.degrees(clip.motions[clip.frames, ANGLES.start] - clip.portrait.motion[ANGLES.start])
    return np.abs(turned) >= FAR_APART_YAW


def _only(rows: dict[str, Row], chosen: Array) -> dict[str, Row]:
    """Rows of the chosen frames (B,) alone; figures of the whole are left out."""
    return {
        name: {figure: values[chosen] for figure, values in row.items() if values.ndim} for name, row in rows.items()
    }


def _table(clips: list[dict[str, Row]]) -> dict[str, Any]:
    """Number of clips and frames, and each method's mean figures."""
    if not clips:
        return {"clips": 0, "frames": 0}
    return {"clips": len(clips), "frames": sum(len(clip["renderer"]["aed"]) for clip in clips)} | _means(clips)


def _means(parts: list[dict[str, Row]]) -> dict[str, dict[str, float]]:
    """Each method's mean figures, the parts counting alike; those that are known of no part are left out."""
    means = {
        name: {figure: _mean(np.array([_mean(part[name][figure]) for part in parts])) for figure in row}
        for name, row in parts[0].items()
    }
    return {
        name: {figure: round(mean, 4) for figure, mean in row.items() if not np.isnan(mean)}
        for name, row in means.items()
    }


def _mean(figures: Array) -> float:
    """Of those that are known; NaN where none is."""
    known = figures[~np.isnan(figures)]
    return float(known.mean()) if known.size else float("nan")


def _tensor(pictures: Frames) -> Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)
