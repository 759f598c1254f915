import numpy as np
import pytest
import torch

from model.audio import SpeechToMotion
from model.audio.closing import SHARES, closing_blocks
from model.audio.features import log_mel
from model.audio.hearing import closure_blocks
from model.audio.network import NEVER

SILENT, NEUTRAL = np.zeros(16_000, np.float32), np.zeros(70, np.float32)


@pytest.fixture
def speaker() -> SpeechToMotion:
    return SpeechToMotion.load()


def told(speaker: SpeechToMotion, bilabial: float, labiodental: float) -> SpeechToMotion:
    """A speaker that hears each closure with that logit at all times."""
    with torch.no_grad():
        speaker.network.closures.out.weight.zero_()
        speaker.network.closures.out.bias.copy_(torch.tensor([bilabial, labiodental]))  # type: ignore[union-attr]
    return speaker


def gaps(speaker: SpeechToMotion, motions: np.ndarray) -> np.ndarray:
    """The inner lips' gap of motions (T, 70) on a mean face, as a share of the face's height."""
    return np.array([speaker.controls.lip_gap(np.zeros(80, np.float32), motion) for motion in motions])


def closings(speaker: SpeechToMotion, *mels: torch.Tensor) -> torch.Tensor:
    return torch.cat(list(closing_blocks(closure_blocks(speaker.network, mels))))


def test_lips_close_where_the_sound_leaves_no_doubt(speaker: SpeechToMotion, speech: np.ndarray) -> None:
    parted = gaps(speaker, told(speaker, NEVER, NEVER).generate(speech, NEUTRAL))[10:-12]
    nearly = gaps(speaker, told(speaker, NEVER, 20).generate(speech, NEUTRAL))[10:-12]
    closed = gaps(speaker, told(speaker, 20, NEVER).generate(speech, NEUTRAL))[10:-12]
    open_frames = parted > 0.02
    assert open_frames.sum() > 10
    assert np.abs(closed[open_frames]).max() < 0.15 * parted[open_frames].max()
    np.testing.assert_allclose(
        nearly[open_frames].mean(), (1 - float(SHARES[1])) * parted[open_frames].mean(), rtol=0.25
    )


def test_closures_do_not_hang_on_how_a_sound_is_cut(speaker: SpeechToMotion, speech: np.ndarray) -> None:
    mel = log_mel(speech)
    whole = closings(speaker, mel)
    cut = closings(speaker, *mel.split(4 * 20))
    torch.testing.assert_close(whole, cut, atol=1e-6, rtol=0)


def test_silence_closes_nothing(speaker: SpeechToMotion) -> None:
    assert closings(speaker, log_mel(SILENT)).max() < 0.2
