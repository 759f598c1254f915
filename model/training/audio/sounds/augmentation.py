"""All that a sound may go through on its way from another speaker's mouth to us, in that order, each now and then."""

from collections.abc import Callable

import torch
from torch import Tensor

from model.audio.features import LARGEST_GAIN_DB
from model.training.audio.sounds.codecs import low_rate, mu_law, with_gaps
from model.training.audio.sounds.microphones import clipped, equalised, telephoned
from model.training.audio.sounds.noises import babble, coloured_noise, hum, spoken_power, with_noise
from model.training.audio.sounds.rooms import in_room
from model.training.audio.sounds.voices import revoiced

Effect = Callable[[Tensor], Tensor]  # samples (N,) to samples (N,)

LEVEL_DB = 2.0  # deviation


def augmented(samples: Tensor) -> Tensor:
    """Sounds (B, N) of 16 kHz, each as another voice, room, microphone and line might have given it: (B, N).

    Nothing comes earlier or later than it was. The level of what is spoken stays, but for LEVEL_DB, as it does where
    every recording is brought to one loudness. Draws from torch's global generator; each sound is changed by itself,
    but that others of the batch may be heard behind it.
    """
    return torch.stack([_changed(sound, effects(samples, number)) for number, sound in enumerate(samples)])


def effects(samples: Tensor, number: int) -> dict[str, tuple[float, Effect]]:
    """By name, in order: the share of sounds that an effect is for, and what it does to sound `number` of (B, N)."""
    length = samples.shape[1]
    others = [other for place, other in enumerate(samples) if place != number]
    return {
        "voice": (0.25, revoiced),
        "room": (0.3, in_room),
        "babble": (0.15, lambda sound: with_noise(sound, babble(length, others))),
        "noise": (0.3, lambda sound: with_noise(sound, coloured_noise(length))),
        "hum": (0.08, lambda sound: with_noise(sound, hum(length))),
        "equaliser": (0.4, equalised),
        "clipping": (0.1, clipped),
        "telephone": (0.07, telephoned),
        "low rate": (0.1, low_rate),
        "mu-law": (0.08, mu_law),
        "gaps": (0.08, with_gaps),
    }


def _changed(sound: Tensor, chain: dict[str, tuple[float, Effect]]) -> Tensor:
    power = spoken_power(sound)
    for share, effect in chain.values():
        if float(torch.rand(())) < share:
            sound = effect(sound)
    gain = 10 ** (LEVEL_DB * float(torch.randn(())) / 20)
    largest = 10 ** (LARGEST_GAIN_DB / 20)
    return sound * (gain * min(max(power / max(spoken_power(sound), 1e-12), largest**-2), largest**2) ** 0.5)
