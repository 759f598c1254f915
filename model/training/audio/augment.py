"""Changes to log-mel that leave the lips as they are: other voices, bands lost.

All work on mel (B, 4 T, MELS) as `mel_of` gives it, drawing from torch's global generator.
"""

import torch
from torch import Tensor

from model.audio.features import MELS

VOICE_STRETCH = 0.08  # of the mel axis, either way: longer and shorter vocal tracts, higher and lower voices
LOST_SHARE, LOST_BANDS = 0.5, 10


def augment(mel: Tensor) -> Tensor:
    """Mel (B, 4 T, MELS) as another voice might have given it, and some microphones that miss bands."""
    batch = len(mel)
    return stretched(mel, 1 + VOICE_STRETCH * (2 * torch.rand(batch) - 1)) * kept_bands(batch)


def stretched(mel: Tensor, factors: Tensor) -> Tensor:
    """Mel with each clip's mel axis stretched by its factor (B,)."""
    places = (torch.arange(MELS) * factors[:, None]).clamp(0, MELS - 1)
    lower = places.floor().long().clamp(max=MELS - 2)
    share = (places - lower)[:, None]
    lower = lower[:, None].expand(-1, mel.shape[1], -1)
    return mel.gather(2, lower) * (1 - share) + mel.gather(2, lower + 1) * share


def kept_bands(batch: int) -> Tensor:
    """(B, 1, MELS) of ones with zeros where a run of bands is lost."""
    band = torch.arange(MELS)
    first = torch.randint(MELS, (batch, 1))
    width = torch.randint(LOST_BANDS, (batch, 1)) * (torch.rand(batch, 1) < LOST_SHARE)
    lost = (band >= first) & (band < first + width)
    return (~lost).float()[:, None]
