"""Changes to log-mel that leave the lips as they are and are cheaper here than in the sound.

All work on mel (B, 4 T, MELS) as `mel_of` gives it, drawing from torch's global generator.
"""

import torch
from torch import Tensor

from model.audio.features import LOG_SPREAD, MELS

LEVEL_NATS, TILT_NATS = 0.5, 1.0
VOICE_STRETCH = 0.08  # of the mel axis, either way: longer and shorter vocal tracts, higher and lower voices
LOST_SHARE, LOST_BANDS = 0.5, 10


def augment(mel: Tensor) -> Tensor:
    """Mel (B, 4 T, MELS) of another voice, at another level, brighter or darker, and with a run of bands lost."""
    batch = len(mel)
    mel = stretched(mel, 1 + VOICE_STRETCH * (2 * torch.rand(batch) - 1))
    power = torch.expm1(LOG_SPREAD * mel.clamp(max=5))
    tilt = TILT_NATS * torch.randn(batch, 1, 1) * torch.linspace(-0.5, 0.5, MELS)
    gain = (LEVEL_NATS * torch.randn(batch, 1, 1) + tilt).exp()
    return torch.log1p(power * gain * kept_bands(batch)) / LOG_SPREAD


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
    return (~((band >= first) & (band < first + width))).float()[:, None]
