"""Rooms: what comes back from the walls, after the direct sound."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from model.audio.features import SAMPLE_RATE
from model.training.audio.sounds.draws import uniform

REVERBERATION_S = (0.1, 0.7)  # RT60
DIRECT_DB = (0.0, 18.0)  # above all that comes back
FIRST_S = (0.002, 0.010)  # when the first reflection comes
REFLECTIONS, REFLECTIONS_S = 8, 0.04
LONGEST_S = 0.5
SMOOTHED = 9  # samples: what is slower than some 900 Hz rings longest


def in_room(sound: Tensor) -> Tensor:
    """Sound (N,) in a room drawn."""
    response = room_response()
    # in blocks, whose spectra fit the cache
    reach = len(response)
    size = 8192 if reach <= 4096 else 16384
    block = size - reach
    count = -(-len(sound) // block)
    blocks = F.pad(sound, (0, count * block - len(sound))).view(count, block)
    parts = torch.fft.irfft(torch.fft.rfft(blocks, n=size) * torch.fft.rfft(response, n=size), n=size)
    whole = parts[:, :block].clone()
    whole[1:, :reach] += parts[:-1, block:]
    return whole.flatten()[: len(sound)]


def room_response() -> Tensor:
    """An impulse response (M,): 1 at sample 0, single reflections, and noise that decays, high frequencies first."""
    reverberation = math.exp(uniform(math.log(REVERBERATION_S[0]), math.log(REVERBERATION_S[1])))
    length = int(SAMPLE_RATE * min(LONGEST_S, reverberation))
    seconds = torch.arange(length) / SAMPLE_RATE
    noise = torch.randn(length)
    low = F.avg_pool1d(noise[None], SMOOTHED, 1, SMOOTHED // 2, count_include_pad=True)[0]
    nats = 3 * math.log(10) / reverberation  # amplitude falls by 60 dB in RT60
    tail = low * torch.exp(-nats * seconds) + (noise - low) * torch.exp(-nats * uniform(1.2, 3.0) * seconds)
    first = uniform(*FIRST_S)
    tail[: int(first * SAMPLE_RATE)] = 0
    times = first + (REFLECTIONS_S - first) * torch.rand(REFLECTIONS)
    places = (times * SAMPLE_RATE).long()
    strength = tail.square().sum().sqrt() * uniform(0.1, 0.5)
    tail.index_add_(0, places, strength * torch.randn(REFLECTIONS) * torch.exp(-nats * times))
    tail = tail * (10 ** (-uniform(*DIRECT_DB) / 20) / tail.square().sum().sqrt())
    tail[0] = 1
    return tail
