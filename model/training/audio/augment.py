"""Changes to log-mel that leave the lips as they are: level, equaliser, voice, noise, bands lost, a few ms of shift.

All work on mel (B, 4 T, MELS) as `log_mel` gives it, drawing from torch's global generator.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.audio.features import LOG_SPREAD, MELS

LEVEL_NATS, TILT_NATS, EQUALISER_NATS = 0.5, 1.0, 0.6
VOICE_STRETCH = 0.08  # of the mel axis, either way: longer and shorter vocal tracts, higher and lower voices
NOISE_SHARE, NOISE_LEVELS = 0.5, (0.1, 1.6)  # of clips; log-mel the noise has
LOST_SHARE, LOST_BANDS = 0.5, 10
PHONE_SHARE, PHONE_BANDS = 0.1, 46  # of clips; mel bands under 3.6 kHz


def augment(mel: Tensor) -> Tensor:
    """Mel (B, 4 T, MELS) as another microphone, room and voice might have given it."""
    batch = len(mel)
    mel = stretched(mel, 1 + VOICE_STRETCH * (2 * torch.rand(batch) - 1))
    power = torch.expm1(LOG_SPREAD * mel.clamp(max=5))
    bend = F.interpolate(torch.randn(batch, 1, 8), MELS, mode="linear", align_corners=True)
    gain = (
        LEVEL_NATS * torch.randn(batch, 1, 1)
        + TILT_NATS * torch.randn(batch, 1, 1) * torch.linspace(-0.5, 0.5, MELS)
        + EQUALISER_NATS * bend
    )
    low, high = NOISE_LEVELS
    noise = torch.expm1(LOG_SPREAD * (low + (high - low) * torch.rand(batch, 1, 1) + 0.1 * torch.randn(batch, 1, MELS)))
    noise = noise.clamp(min=0) * -torch.log(torch.rand_like(power).clamp(min=1e-6))  # power of noise is exponential
    power = power * gain.exp() + noise * (torch.rand(batch, 1, 1) < NOISE_SHARE)
    return torch.log1p(power * kept_bands(batch)) / LOG_SPREAD


def stretched(mel: Tensor, factors: Tensor) -> Tensor:
    """Mel with each clip's mel axis stretched by its factor (B,)."""
    places = (torch.arange(MELS) * factors[:, None]).clamp(0, MELS - 1)
    lower = places.floor().long().clamp(max=MELS - 2)
    share = (places - lower)[:, None]
    lower = lower[:, None].expand(-1, mel.shape[1], -1)
    return mel.gather(2, lower) * (1 - share) + mel.gather(2, lower + 1) * share


def kept_bands(batch: int) -> Tensor:
    """(B, 1, MELS) of ones with zeros where a run of bands, or all a telephone does not carry, is lost."""
    band = torch.arange(MELS)
    first = torch.randint(MELS, (batch, 1))
    width = torch.randint(LOST_BANDS, (batch, 1)) * (torch.rand(batch, 1) < LOST_SHARE)
    lost = (band >= first) & (band < first + width)
    lost |= (band >= PHONE_BANDS) & (torch.rand(batch, 1) < PHONE_SHARE)
    return (~lost).float()[:, None]
