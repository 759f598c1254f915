"""Speech that is faster or slower, with the motion that goes with it."""

import numpy as np
import soxr
import torch
from torch import Tensor

from model.arrays import Samples
from model.audio.features import SAMPLE_RATE, SAMPLES_PER_FRAME, frame_count


def faster(samples: Samples, factor: float) -> Samples:
    """Samples (N,) played `factor` times as fast, pitch and formants with it: (N / factor,), rounded."""
    length = round(len(samples) / factor)
    resampled = soxr.resample(samples, SAMPLE_RATE * factor, SAMPLE_RATE)[:length]
    return np.pad(resampled, (0, length - len(resampled))).astype(np.float32)


def resampled_track(track: Tensor, factor: float) -> Tensor:
    """A track (T, D) of as many frames as its sound has when it is played `factor` times as fast.

    A value stands for the middle of its frame, samples [640 t, 640 (t + 1)).
    """
    frames = frame_count(round(len(track) * SAMPLES_PER_FRAME / factor))
    places = (((torch.arange(frames) + 0.5) * factor) - 0.5).clamp(0, len(track) - 1)
    lower = places.long().clamp(max=max(0, len(track) - 2))
    upper = (lower + 1).clamp(max=len(track) - 1)
    share = (places - lower)[:, None]
    return track[lower] * (1 - share) + track[upper] * share
