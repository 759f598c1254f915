"""Sound as spectra of overlapping frames, and back."""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.audio.features import SAMPLE_RATE

OVERLAP = 3  # squared Hann windows at a third of their length add up to a constant
HOP = 160
FRAME = OVERLAP * HOP  # 30 ms: resolves the harmonics of most voices, and blurs no sound by more than 15 ms
BINS = FRAME // 2 + 1
HERTZ = torch.linspace(0, SAMPLE_RATE / 2, BINS)
WINDOW = torch.hann_window(FRAME)
SQUARES = 0.375 * OVERLAP  # what the squared windows add up to


def spectra(sound: Tensor) -> Tensor:
    """Spectra (T, BINS) of sound (N,), every HOP samples; frames reach beyond both ends."""
    return torch.fft.rfft(_padded(sound).unfold(0, FRAME, HOP) * WINDOW)


def sound_of(spectrum: Tensor, samples: int) -> Tensor:
    """The sound (N,) whose `spectra` are nearest to those given, (T, BINS)."""
    frames = torch.fft.irfft(spectrum, n=FRAME) * (WINDOW / SQUARES)
    sound = torch.zeros(len(frames) + OVERLAP - 1, HOP)
    for part in range(OVERLAP):
        sound[part : part + len(frames)] += frames[:, part * HOP : (part + 1) * HOP]
    return sound.flatten()[FRAME - HOP : FRAME - HOP + samples]


def through(sound: Tensor, curve: Tensor) -> Tensor:
    """Sound (N,) with its amplitudes changed by a smooth curve (BINS,) over frequency, its phases as they were."""
    return sound_of(spectra(sound) * curve, len(sound))


def power_of(spectrum: Tensor) -> Tensor:
    """Squares of the amplitudes of a spectrum."""
    return spectrum.real.square() + spectrum.imag.square()


def _padded(sound: Tensor) -> Tensor:
    return F.pad(sound, (FRAME - HOP, FRAME - HOP + -len(sound) % HOP))
