"""Noise: coloured, of other voices, of the mains."""

import torch
from torch import Tensor

from model.audio.features import GATE_BELOW_MEAN_DB, SAMPLE_RATE, SAMPLES_PER_FRAME
from model.training.audio.sounds.draws import happens, uniform
from model.training.audio.sounds.frames import HERTZ, through

NOISE_DB = (0.0, 30.0)  # the voice above it
LOWEST_HZ = 30  # coloured noise is flat under this
VOICES = (2, 4)
HARMONICS = 12


def spoken_power(sound: Tensor) -> float:
    """The mean power of sound (N,) without its pauses, as `level` tells them."""
    blocks = sound[: max(1, len(sound) // SAMPLES_PER_FRAME) * SAMPLES_PER_FRAME]
    power = blocks.reshape(-1, min(SAMPLES_PER_FRAME, len(blocks))).square().mean(dim=1)
    spoken = power >= power.mean() * 10 ** (-GATE_BELOW_MEAN_DB / 10)
    return float(power[spoken].mean())


def with_noise(sound: Tensor, noise: Tensor) -> Tensor:
    """Sound (N,) with noise (N,) at a ratio drawn."""
    ratio = 10 ** (-uniform(*NOISE_DB) / 10)
    power = float(noise.square().mean())
    return sound + noise * (spoken_power(sound) * ratio / max(power, 1e-12)) ** 0.5


def coloured_noise(samples: int) -> Tensor:
    """Noise (N,) between white and brown: its power falls by 0 to 6 dB an octave."""
    return through(torch.randn(samples), (HERTZ.clamp(min=LOWEST_HZ) / 1000) ** -uniform(0.0, 1.0))


def babble(samples: int, others: list[Tensor]) -> Tensor:
    """Two to four of the other sounds (N,), each from a place drawn; silence if there are none."""
    noise = torch.zeros(samples)
    if not others:
        return noise
    for _ in range(int(torch.randint(VOICES[0], VOICES[1] + 1, ()))):
        voice = others[int(torch.randint(len(others), ()))]
        power = max(spoken_power(voice), 1e-12)
        noise += torch.roll(voice, int(torch.randint(samples, ()))) * (uniform(0.3, 1.0) / power**0.5)
    return noise


def hum(samples: int) -> Tensor:
    """Mains hum (N,) and its harmonics, 50 or 60 Hz."""
    mains = 50 if happens(0.5) else 60
    period = torch.arange(SAMPLE_RATE // 10) / SAMPLE_RATE  # whole periods of either
    order = torch.arange(1, HARMONICS + 1)
    strength = torch.randn(HARMONICS) / order ** uniform(0.3, 1.5)
    phase = 2 * torch.pi * torch.rand(HARMONICS)
    wave = strength @ torch.sin(2 * torch.pi * mains * order[:, None] * period + phase[:, None])
    return wave.repeat(-(-samples // len(wave)))[:samples]
