"""Other voices: higher or lower, of longer or shorter vocal tracts, at the same tempo."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from model.training.audio.sounds.draws import uniform
from model.training.audio.sounds.frames import BINS, FRAME, HOP, WINDOW, power_of, sound_of, spectra

PITCH_OCTAVES = 0.33  # either way
FORMANT_SHARE = 0.16  # natural logarithm, either way: men, women and children differ by as much
PIVOT = 90  # bins under 3 kHz have their pitch shifted; what is above is mostly noise, which has none
SOURCES = 120  # bins that those are made of, at the lowest pitch
QUEFRENCIES = 48  # cepstral coefficients that make the envelope: little of a pitch under 400 Hz
LARGEST_BEND = 2.5  # nats that the envelope is changed by at most
RISE = 2.0  # a frame of so many times the power of the last begins anew: an onset keeps its phases

_QUEFRENCY = torch.arange(QUEFRENCIES)
_COSINES = torch.cos(2 * math.pi / FRAME * _QUEFRENCY[:, None] * torch.arange(BINS))
_SIDES = torch.full((BINS,), 2.0).index_fill(0, torch.tensor([0, BINS - 1]), 1.0)  # a bin stands for both sides
_LIFTER = torch.cos(0.5 * math.pi * (2 * _QUEFRENCY / QUEFRENCIES - 1).clamp(min=0)) ** 2 * torch.where(
    _QUEFRENCY > 0, 2.0, 1.0
)
_CEPSTRUM = (_COSINES * _SIDES / FRAME * _LIFTER[:, None]).T.contiguous()
_EXPECTED = 2 * math.pi * HOP / FRAME * torch.arange(SOURCES)  # how far a bin's phase turns in a hop
_CENTRED = torch.where(torch.arange(BINS) % 2 == 0, 1.0, -1.0)  # phases against the middle of the frame


def revoiced(sound: Tensor) -> Tensor:
    """Sound (N,) with pitch and formants each shifted by a factor drawn."""
    return shifted(
        sound,
        pitch=2 ** uniform(-PITCH_OCTAVES, PITCH_OCTAVES),
        formants=math.exp(uniform(-FORMANT_SHARE, FORMANT_SHARE)),
    )


def shifted(sound: Tensor, *, pitch: float, formants: float) -> Tensor:
    """Sound (N,) with its pitch 0.75..1.34 times as high and its formants `formants` times, at the same time.

    Each frame is drawn together or out about its own middle, and its phases turned so that it fits the next, as in the
    phase vocoder (Laroche and Dolson 1999); then the spectral envelope, smoothed by way of the cepstrum, is brought to
    where it shall be.
    """
    spectrum = spectra(sound)
    power = power_of(spectrum)
    cepstrum = 0.5 * torch.log(power + 1e-5 * power.mean() + 1e-12) @ _CEPSTRUM
    places = torch.arange(BINS) / torch.where(torch.arange(BINS) < PIVOT, pitch, 1.0)  # where the envelope comes from
    wanted = (torch.arange(BINS) / formants).clamp(max=BINS - 1)
    bend = cepstrum @ (_cosines(wanted) - _cosines(places))
    low = _pitched(spectrum, power, pitch)
    spectrum = torch.cat([low, spectrum[:, PIVOT:]], dim=1)
    return sound_of(spectrum * bend.clamp(-LARGEST_BEND, LARGEST_BEND).exp(), len(sound))


def _pitched(spectrum: Tensor, power: Tensor, pitch: float) -> Tensor:
    """The lowest PIVOT bins of spectra (T, BINS) at another pitch."""
    # planes, since complex numbers are chosen and their angles taken several times as slowly
    real, imaginary = spectrum.real[:, :SOURCES].contiguous(), spectrum.imag[:, :SOURCES].contiguous()
    weight = power[:, :SOURCES].square() + 1e-24
    cosine, sine = (
        real[1:] * real[:-1] + imaginary[1:] * imaginary[:-1],
        imaginary[1:] * real[:-1] - real[1:] * imaginary[:-1],
    )
    advance = torch.atan2(sine, cosine) - _EXPECTED
    advance = advance - 2 * math.pi * torch.round(advance / (2 * math.pi)) + _EXPECTED
    # bins about one harmonic turn as its strongest does, or the harmonic would fall apart
    turn = (pitch - 1) * (_of_three(F.pad(advance, (0, 0, 1, 0)) * weight) / _of_three(weight)).cumsum(dim=0)
    energy = power.sum(dim=1)
    onset = F.pad(energy[1:] > RISE * energy[:-1], (1, 0), value=True)
    latest = torch.where(onset, torch.arange(len(energy)), 0).cummax(dim=0).values
    turn = turn - turn.index_select(0, latest)
    cosine, sine = turn.cos(), turn.sin()
    turned = real * cosine - imaginary * sine, real * sine + imaginary * cosine
    places = (torch.arange(PIVOT) / pitch).clamp(max=SOURCES - 1.001)
    lower = places.long()
    share = places - lower
    # what is between two bins falls off from the middle of a frame; frames add up to another level
    place = pitch * (torch.arange(FRAME) / FRAME - 0.5)
    drawn = torch.where(place.abs() < 0.5, torch.cos(math.pi * place) ** 2, 0.0) * torch.sinc(place)
    level = float(WINDOW.square().sum() / (pitch * WINDOW * drawn).sum())
    first = level * (1 - share) * _CENTRED[lower] * _CENTRED[:PIVOT]
    second = level * share * _CENTRED[lower + 1] * _CENTRED[:PIVOT]
    return torch.complex(
        *(plane.index_select(1, lower) * first + plane.index_select(1, lower + 1) * second for plane in turned)
    )


def _of_three(values: Tensor) -> Tensor:
    """Sums (T, K) over each bin and its neighbours."""
    sums = values.clone()
    sums[:, 1:] += values[:, :-1]
    sums[:, :-1] += values[:, 1:]
    return sums


def _cosines(bins: Tensor) -> Tensor:
    return torch.cos(2 * math.pi / FRAME * _QUEFRENCY[:, None] * bins)
