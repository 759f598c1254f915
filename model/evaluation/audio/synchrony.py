"""Whether lips follow the sound: correlations of the mouth's opening, distances of lip landmarks, seeds compared.

Shapes: N takes, T frames, E components of the expression code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from model.arrays import Doubles, Floats
from model.audio.clip import SpeechClip
from model.audio.motion_code import LIPS
from model.audio.network import SpeechNetwork
from model.morphable import MorphableModel
from model.morphable.basis import EXPRESSION, EXPRESSION_SIZE, HALF_CROP, POINTS
from model.morphable.controls import MEASURES

MOST_LAG = 4  # frames

Series = Floats


@dataclass(frozen=True)
class Made:
    """What was made of one clip's sound, at the strength of its speaker."""

    takes: Tensor  # (N, T, E) expression codes
    pose: Tensor  # (N, T, 6) as differences from the clip's mean
    regressor: Tensor  # (T, E), what the sound determines: the deterministic baseline

    @property
    def expressions(self) -> dict[str, Tensor]:
        """Expression codes (n, T, E) by what made them."""
        return {"take": self.takes, "mean_of_takes": self.takes.mean(dim=0)[None], "regressor": self.regressor[None]}


def opening_gradient(model: MorphableModel) -> Tensor:
    """What each expression coefficient adds to the gap between the lips (64,), in half sides of the crop."""
    measure = next(measure for measure in MEASURES if measure.name == "jaw_open")
    return model.expression_basis @ measure.vector()


def lip_gradients(model: MorphableModel) -> tuple[Tensor, Tensor]:
    """What each expression coefficient adds to the lips' gap and to the mouth's width (64,), in half sides."""
    pucker = next(measure for measure in MEASURES if measure.name == "pucker")
    return opening_gradient(model), -(model.expression_basis @ pucker.vector())


def lip_figures(
    network: SpeechNetwork, model: MorphableModel, clips: Sequence[SpeechClip], made: Sequence[Made]
) -> dict[str, float | dict[str, float]]:
    """Means over clips: correlations with the measured opening and with the sound's energy, and distances.

    `opening_correlation` is without any shift. In the curves by lag all clips are shifted alike, and at a positive lag
    what was made is compared with what the mouth did so many frames before.
    """
    to_opening = network.code.decoder @ opening_gradient(model)
    curves = {name: np.zeros(2 * MOST_LAG + 1) for name in made[0].expressions}
    energy: dict[str, list[float]] = {"take": [], "real": []}
    for clip, one in zip(clips, made, strict=True):
        truth = clip.opening.numpy()
        loudness = clip.mel.reshape(clip.frames, -1).mean(dim=1).numpy()
        for name, codes in one.expressions.items():
            for opening in (codes @ to_opening).numpy():
                curves[name] += lag_curve(opening, truth) / len(codes) / len(clips)
        energy["take"] += [float(np.mean([correlation(take, loudness) for take in (one.takes @ to_opening).numpy()]))]
        energy["real"].append(correlation(truth, loudness))
    best = {name: float(curve.argmax() - MOST_LAG) for name, curve in curves.items()}
    return {
        "opening_correlation": {name: float(curve[MOST_LAG]) for name, curve in curves.items()},
        "opening_best_lag_frames": best,
        **{
            f"opening_correlation_by_lag_{name}": {
                f"{lag:+d}": float(curve[lag + MOST_LAG]) for lag in range(-MOST_LAG, MOST_LAG + 1)
            }
            for name, curve in curves.items()
        },
        "energy_correlation": {name: float(np.mean(values)) for name, values in energy.items()},
        "mouth_distance_px": _mouth_distances(network, model, clips, made),
    }


def _mouth_distances(
    network: SpeechNetwork, model: MorphableModel, clips: Sequence[SpeechClip], made: Sequence[Made]
) -> dict[str, float]:
    """How far lip landmarks are from the true ones, each about its clip's mean; `still` are lips that rest."""
    lips = model.expression_basis.reshape(EXPRESSION_SIZE, POINTS, 3)[:, list(LIPS), :2].flatten(1)
    distances: dict[str, list[float]] = {}
    for clip, one in zip(clips, made, strict=True):
        expression = clip.motion[:, EXPRESSION]
        truth = (expression - expression.mean(dim=0)) @ lips
        still = torch.zeros(1, clip.frames, network.config.components)
        for name, codes in (one.expressions | {"still": still}).items():
            apart = (codes @ network.code.decoder @ lips - truth).unflatten(-1, (len(LIPS), 2)).norm(dim=-1)
            distances.setdefault(name, []).append(HALF_CROP * float(apart.mean()))
    return {name: float(np.mean(values)) for name, values in distances.items()}


def diversity_figures(
    network: SpeechNetwork, model: MorphableModel, made: Sequence[Made]
) -> dict[str, float | dict[str, float]]:
    """How takes of one sound agree: the mean correlation of two seeds' openings, and of two seeds' yaw."""
    to_opening = network.code.decoder @ opening_gradient(model)
    series: dict[str, Callable[[Made], Tensor]] = {
        "opening": lambda one: one.takes @ to_opening,
        "yaw": lambda one: one.pose[..., 0],
    }
    return {
        "correlation_between_seeds": {
            name: float(np.mean([_agreement(of(one).numpy()) for one in made])) for name, of in series.items()
        }
    }


def _agreement(takes: Floats) -> float:
    return float(np.mean([correlation(a, b) for a, b in combinations(takes, 2)]))


def correlation(a: Series, b: Series) -> float:
    """The correlation of two series (T,); 0 when one does not move."""
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9))


def lag_curve(made: Series, truth: Series) -> Doubles:
    """Correlations (2 MOST_LAG + 1,) at lags -MOST_LAG .. MOST_LAG; positive: made comes late."""
    n = len(made)
    return np.array(
        [
            correlation(made[max(0, lag) : n + min(0, lag)], truth[max(0, -lag) : n - max(0, lag)])
            for lag in range(-MOST_LAG, MOST_LAG + 1)
        ]
    )
