"""How well speech-to-motion does on people it never saw: likelihood, lips, and whether it moves like a person."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.audio.batches import cut
from model.audio.clips import SpeechClip, read_clips
from model.audio.features import FPS
from model.audio.network import SpeechNetwork
from model.audio.nll import flow_nll
from model.audio.sampling import sample_codes, sound_track
from model.audio.speech_to_motion import SpeechToMotion
from model.morphable import MorphableModel
from model.morphable.basis import EXPRESSION
from model.morphable.controls import MEASURES

IN_SYNC = 0.15  # clips whose `sync` is under this may not show the mouth that speaks
TAKES, TEMPERATURE, MOST_LAG = 16, 0.7, 2


def evaluate(network: SpeechNetwork, clips: Sequence[SpeechClip]) -> dict[str, float]:
    """Return all figures of a network on held-out clips."""
    clips = [clip for clip in clips if clip.sync >= IN_SYNC] or list(clips)
    tracks = [sound_track(network, clip.mel) for clip in clips]
    return {
        "clips": float(len(clips)),
        "minutes": sum(clip.frames for clip in clips) / FPS / 60,
        **likelihood(network, clips, tracks),
        **lips_and_motion(network, clips, tracks),
    }


def evaluate_corpus(data: Path) -> dict[str, float]:
    """Return the figures of the released network on a corpus' val split."""
    return evaluate(SpeechToMotion.load().network, read_clips(data, "val"))


def likelihood(network: SpeechNetwork, clips: Sequence[SpeechClip], tracks: Sequence[Tensor]) -> dict[str, float]:
    """Return NLL a dimension in nats with the true sound, with another clip's, and under a Gaussian that hears nothing.

    The Gaussian has the mean and full covariance of a frame given the one before it, fitted on the very clips it is
    judged on: as good as a linear model without sound can look.
    """
    code = network.code
    codes = [torch.cat([code.expression(clip), code.pose(clip)], dim=1) for clip in clips]
    others = [cut(torch.cat([tracks[(i + 1) % len(tracks)]] * 40), 0, clip.frames) for i, clip in enumerate(clips)]
    e = network.config.components
    true, false = flow_nll(network.flows, tracks, codes), flow_nll(network.flows, others, codes)
    return {
        "nll_expression": true[0] / e,
        "nll_expression_other_sound": false[0] / e,
        "nll_expression_gaussian": gaussian_nll([c[:, :e] for c in codes]) / e,
        "nll_pose": true[1] / (codes[0].shape[1] - e),
        "nll_pose_other_sound": false[1] / (codes[0].shape[1] - e),
        "nll_pose_gaussian": gaussian_nll([c[:, e:] for c in codes]) / (codes[0].shape[1] - e),
    }


def gaussian_nll(codes: Sequence[Tensor]) -> float:
    """Return the NLL a frame, in nats, of codes (T, D) under x_t ~ N(A x_{t-1}, C), both fitted on them."""
    before, after = torch.cat([c[:-1] for c in codes]).double(), torch.cat([c[1:] for c in codes]).double()
    error = after - before @ torch.linalg.lstsq(before, after).solution
    covariance = error.T @ error / len(error)
    return float(0.5 * (torch.logdet(2 * math.pi * covariance) + len(covariance)))


def lips_and_motion(network: SpeechNetwork, clips: Sequence[SpeechClip], tracks: Sequence[Tensor]) -> dict[str, float]:
    """Return lip synchrony (mean over clips of correlations with the measured mouth opening) and motion statistics."""
    gradient = opening_gradient(MorphableModel.load())
    to_opening = network.code.decoder @ gradient
    e, articulation = network.config.components, float(network.sampling[0])
    scores: dict[str, list[float]] = {"take": [], "mean_of_takes": [], "regressor": [], "energy": [], "energy_real": []}
    lags: list[int] = []
    made: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    real: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    for number, (clip, track) in enumerate(zip(clips, tracks, strict=True)):
        expression, pose = sample_codes(network, track, seed=number, temperature=TEMPERATURE, takes=TAKES)
        opening = (expression @ to_opening).numpy()
        truth = clip.opening.numpy()
        energy = track[:, e:].mean(dim=1).numpy()
        scores["take"].append(float(np.mean([correlation(take, truth) for take in opening])))
        best, lag = best_lag(opening.mean(axis=0), truth)
        scores["mean_of_takes"].append(best)
        lags.append(lag)
        scores["regressor"].append(best_lag((articulation * track[:, :e] @ to_opening).numpy(), truth)[0])
        scores["energy"].append(correlation(opening[0], energy))
        scores["energy_real"].append(correlation(truth, energy))
        style = network.code.style(network.code.raw_expression(clip))
        made.append(((style * expression[0] @ to_opening).numpy(), (pose[0] * network.code.pose_deviation).numpy()))
        centred = clip.motion - clip.motion.mean(dim=0)
        real.append(((centred[:, :EXPRESSION] @ gradient).numpy(), centred[:, EXPRESSION:].numpy()))
    figures = {f"opening_correlation_{name}": float(np.mean(values)) for name, values in scores.items()}
    figures["opening_lag_frames"] = float(np.mean(lags))
    for name, sequences in (("made", made), ("real", real)):
        figures |= {f"{key}_{name}": value for key, value in motion_statistics(sequences).items()}
    return figures


def opening_gradient(model: MorphableModel) -> Tensor:
    """Return what each expression coefficient adds to the gap between the lips (64,), in half sides of the crop."""
    measure = next(measure for measure in MEASURES if measure.name == "jaw_open")
    return model.expression_basis @ measure.vector()


def correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the correlation of two series (T,); 0 when one does not move."""
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9))


def best_lag(made: NDArray[np.float32], truth: NDArray[np.float32]) -> tuple[float, int]:
    """Return the best correlation over shifts of up to MOST_LAG frames, and its shift; positive: made comes late."""
    n = len(made)
    tried = {
        lag: correlation(made[max(0, lag) : n + min(0, lag)], truth[max(0, -lag) : n - max(0, lag)])
        for lag in range(-MOST_LAG, MOST_LAG + 1)
    }
    lag = max(tried, key=lambda key: tried[key])
    return tried[lag], lag


def motion_statistics(sequences: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> dict[str, float]:
    """Return means over clips, of opening (T,) and pose (T, 6): spread, speed and jerk of the lips; the head's."""
    rows = [
        {
            "opening_deviation": float(opening.std()),
            "opening_speed": float(np.abs(np.diff(opening)).mean() * FPS),
            "opening_jerk": float(np.abs(np.diff(opening, 3)).mean() * FPS**3),
            "yaw_deviation_degrees": float(np.degrees(pose[:, 0].std())),
            "yaw_speed_degrees": float(np.degrees(np.abs(np.diff(pose[:, 0])).mean() * FPS)),
            "pitch_deviation_degrees": float(np.degrees(pose[:, 1].std())),
            "pitch_speed_degrees": float(np.degrees(np.abs(np.diff(pose[:, 1])).mean() * FPS)),
        }
        for opening, pose in sequences
    ]
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
