"""Whether lips follow the sound: correlations of the mouth's shape, distances of lip landmarks, seeds compared.

All figures are of one clip; `mean_rows` has the means over clips, a short clip counting as much as a long one.
Shapes: N takes, T frames, E components of the expression code.
"""

from collections.abc import Mapping, Sequence
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
from model.morphable.controls import measure

MOST_LAG = 4  # frames
LAGS = range(-MOST_LAG, MOST_LAG + 1)
BY_LAG = "opening_correlation_by_lag_"

Series = Floats
Row = Mapping[str, Mapping[str, float]]  # figures of a clip, each a table of one row


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


def mean_rows(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """The mean of each figure over clips."""
    return {
        name: {part: float(np.mean([row[name][part] for row in rows])) for part in parts}
        for name, parts in rows[0].items()
    }


def opening_gradient(model: MorphableModel) -> Tensor:
    """What each expression coefficient adds to the gap between the lips (64,), in half sides of the crop."""
    return model.expression_basis @ measure("jaw_open").vector()


def width_gradient(model: MorphableModel) -> Tensor:
    """The same of how far the mouth's corners are apart."""
    return -model.expression_basis @ measure("pucker").vector()


def protrusion_gradient(model: MorphableModel) -> Tensor:
    """The same of how far the lips are in front, in the mean of their points; landmarks' depth is rough."""
    depth = torch.zeros(POINTS, 3)
    depth[list(LIPS), 2] = -1 / len(LIPS)
    return model.expression_basis @ depth.flatten()


def lip_figures(network: SpeechNetwork, model: MorphableModel, clip: SpeechClip, made: Made) -> Row:
    """Correlations with what the mouth did and with the sound's energy, and distances.

    The opening is compared with the measured one; width and protrusion with those of the fitted motion. `loudness` is
    the sound's energy taken for a prediction, which costs nothing; a mouth that rests has a correlation of 0.
    Correlations are without any shift, but for the curves by lag: at a positive lag what was made is compared with what
    the mouth did so many frames before.
    """
    decoder, expression = network.code.decoder, clip.motion[:, EXPRESSION]
    loudness = clip.mel.reshape(clip.frames, -1).mean(dim=1).numpy()
    width, protrusion = width_gradient(model), protrusion_gradient(model)
    opening = _series(made, decoder @ opening_gradient(model), loudness)
    truth = clip.opening.numpy()
    curves = {name: np.mean([lag_curve(one, truth) for one in several], axis=0) for name, several in opening.items()}
    return {
        "opening_correlation": _correlations(opening, truth),
        **{
            f"{BY_LAG}{name}": {f"{lag:+d}": float(at) for lag, at in zip(LAGS, curve, strict=True)}
            for name, curve in curves.items()
        },
        "width_correlation": _correlations(_series(made, decoder @ width, loudness), (expression @ width).numpy()),
        "protrusion_correlation": _correlations(
            _series(made, decoder @ protrusion, loudness), (expression @ protrusion).numpy()
        ),
        "energy_correlation": {
            "take": _correlations({"take": opening["take"]}, loudness)["take"],
            "real": correlation(truth, loudness),
        },
        "mouth_distance_px": _mouth_distances(network, model, clip, made),
    }


def best_lags(means: Row) -> dict[str, float]:
    """The lag in frames at which each curve of `lip_figures`, a mean over clips, is highest."""
    curves = {name.removeprefix(BY_LAG): curve for name, curve in means.items() if name.startswith(BY_LAG)}
    return {name: float(max(curve, key=curve.__getitem__)) for name, curve in curves.items()}


def _series(made: Made, gradient: Tensor, loudness: Series) -> dict[str, Floats]:
    """Series (n, T) of one measure of the mouth, by what made them, of its gradient in codes (E,)."""
    return {name: (codes @ gradient).numpy() for name, codes in made.expressions.items()} | {"loudness": loudness[None]}


def _correlations(series: Mapping[str, Floats], truth: Series) -> dict[str, float]:
    return {name: float(np.mean([correlation(one, truth) for one in several])) for name, several in series.items()}


def _mouth_distances(network: SpeechNetwork, model: MorphableModel, clip: SpeechClip, made: Made) -> dict[str, float]:
    """How far lip landmarks are from the true ones, each about its clip's mean; `still` are lips that rest."""
    lips = model.expression_basis.reshape(EXPRESSION_SIZE, POINTS, 3)[:, list(LIPS), :2].flatten(1)
    expression = clip.motion[:, EXPRESSION]
    truth = (expression - expression.mean(dim=0)) @ lips
    still = torch.zeros(1, clip.frames, network.config.components)
    distances = {}
    for name, codes in (made.expressions | {"still": still}).items():
        apart = (codes @ network.code.decoder @ lips - truth).unflatten(-1, (len(LIPS), 2)).norm(dim=-1)
        distances[name] = HALF_CROP * float(apart.mean())
    return distances


def diversity_figures(network: SpeechNetwork, model: MorphableModel, made: Made) -> Row:
    """How takes of one sound agree: the mean correlation of two seeds' openings, and of two seeds' yaw."""
    opening = made.takes @ (network.code.decoder @ opening_gradient(model))
    return {
        "correlation_between_seeds": {
            name: float(np.mean([correlation(a, b) for a, b in combinations(takes.numpy(), 2)]))
            for name, takes in (("opening", opening), ("yaw", made.pose[..., 0]))
        }
    }


def correlation(a: Series, b: Series) -> float:
    """The correlation of two series (T,); 0 when one does not move."""
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9))


def lag_curve(made: Series, truth: Series) -> Doubles:
    """Correlations (2 MOST_LAG + 1,) at lags -MOST_LAG .. MOST_LAG; positive: made comes late."""
    n = len(made)
    return np.array(
        [correlation(made[max(0, lag) : n + min(0, lag)], truth[max(0, -lag) : n - max(0, lag)]) for lag in LAGS]
    )
