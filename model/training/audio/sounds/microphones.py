"""Microphones: what they colour and where they clip."""

import math

import torch
from torch import Tensor

from model.training.audio.sounds.draws import happens, uniform
from model.training.audio.sounds.frames import HERTZ, through
from model.training.audio.sounds.noises import spoken_power

BENDS, BEND_DB = 8, 4.0  # of the equaliser, even on the root of frequency
HIGH_PASS_SHARE, HIGH_PASS_HZ = 0.4, (50.0, 300.0)
LOW_PASS_SHARE, LOW_PASS_HZ = 0.4, (3000.0, 7500.0)
DRIVE = (0.1, 0.7)  # of the voice's effective value, 1 being where a sound is bent by a quarter
TELEPHONE_HZ = (300.0, 3400.0)

_PLACES = (BENDS - 1) * (HERTZ / HERTZ[-1]).sqrt() - torch.arange(BENDS)[:, None]
_BENDS = torch.where(_PLACES.abs() < 1, torch.cos(math.pi / 2 * _PLACES) ** 2, 0.0)  # they add up to 1


def equalised(sound: Tensor) -> Tensor:
    """Sound (N,) through a smooth equaliser drawn, and often a high-pass and a low-pass."""
    curve = 10 ** (BEND_DB * torch.randn(len(_BENDS)) @ _BENDS / 20)
    if happens(HIGH_PASS_SHARE):
        curve = curve * high_pass(uniform(*HIGH_PASS_HZ), order=2)
    if happens(LOW_PASS_SHARE):
        curve = curve * low_pass(uniform(*LOW_PASS_HZ), order=int(torch.randint(3, 9, ())))
    return through(sound, curve)


def telephoned(sound: Tensor) -> Tensor:
    """Sound (N,) in the band of a telephone."""
    low, high = TELEPHONE_HZ
    return through(sound, high_pass(low, order=4) * low_pass(high, order=10))


def high_pass(hertz: float, *, order: int) -> Tensor:
    """The amplitude (BINS,) of a Butterworth filter."""
    return 1 / (1 + (hertz / HERTZ.clamp(min=1)) ** (2 * order)).sqrt()


def low_pass(hertz: float, *, order: int) -> Tensor:
    """The amplitude (BINS,) of a Butterworth filter."""
    return 1 / (1 + (HERTZ / hertz) ** (2 * order)).sqrt()


def clipped(sound: Tensor) -> Tensor:
    """Sound (N,) bent softly where it is loud."""
    drive = uniform(*DRIVE) / max(spoken_power(sound) ** 0.5, 1e-6)
    return torch.tanh(sound * drive) / drive
