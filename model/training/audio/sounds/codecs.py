"""Lines: few bits, few bands, and packets that do not come."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from model.audio.features import SAMPLE_RATE
from model.training.audio.sounds.draws import uniform
from model.training.audio.sounds.frames import BINS, power_of, sound_of, spectra
from model.training.audio.sounds.noises import spoken_power

MU = 255
MU_LAW_DB = (-36.0, -16.0)  # of the voice under full scale
MASKED_DB = (-12.0, -1.0)  # what is so far from the mean of its band is not sent
BAND = 12  # bins, 400 Hz
UNHEARD_DB = (-60.0, -30.0)  # nor what is so far under the voice
HIGHEST_HZ = (4000.0, 8000.0)
GAP_S = (0.005, 0.020)
LOST_PACKETS = (0.01, 0.1)


def mu_law(sound: Tensor) -> Tensor:
    """Sound (N,) in mu-law of 8 bits (ITU-T G.711), at a level drawn."""
    power = spoken_power(sound)
    scale = 10 ** (uniform(*MU_LAW_DB) / 20) / power**0.5 if power > 0 else 1.0
    scaled = (sound * scale).clamp(-1, 1)
    steps = torch.round(127 * torch.log1p(MU * scaled.abs()) / math.log1p(MU)) / 127
    return scaled.sign() * torch.expm1(steps * math.log1p(MU)) / (MU * scale)


def low_rate(sound: Tensor) -> Tensor:
    """Sound (N,) less what a codec of few bits leaves out: what louder bands hide, what is quiet, what is high."""
    spectrum = spectra(sound)
    power = power_of(spectrum)[:, : BINS - 1].unflatten(1, (-1, BAND))
    least = power.mean(dim=2, keepdim=True) * 10 ** (uniform(*MASKED_DB) / 10)
    kept = (power >= least.clamp(min=power.mean() * 10 ** (uniform(*UNHEARD_DB) / 10))).flatten(1).float()
    kept[:, int(uniform(*HIGHEST_HZ) / (SAMPLE_RATE / 2) * BINS) :] = 0
    return sound_of(spectrum * F.pad(kept, (0, 1)), len(sound))


def with_gaps(sound: Tensor) -> Tensor:
    """Sound (N,) with single packets of up to 20 ms lost: silence in their place."""
    packet = int(SAMPLE_RATE * uniform(*GAP_S))
    count = len(sound) // packet + 2
    lost = torch.rand(count) < uniform(*LOST_PACKETS)
    lost[1:] &= ~lost[:-1]
    first = int(torch.randint(packet, ()))
    return sound * (~lost).repeat_interleave(packet)[first : first + len(sound)]
