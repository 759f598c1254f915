import numpy as np
import pytest
import torch

from model.audio.features import MARGIN, MELS, SUBFRAMES, frame_count, level, log_mel, mel_blocks, mel_of
from model.errors import AudioError


def voice(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """A buzz of 120 Hz with pauses and a little noise."""
    time = np.arange(int(seconds * 16_000)) / 16_000
    buzz = np.sign(np.sin(2 * np.pi * 120 * time)) * (np.sin(2 * np.pi * 1.5 * time) > 0)
    return (level * buzz + 1e-4 * np.random.default_rng(seed).standard_normal(len(time))).astype(np.float32)


@pytest.mark.parametrize("frame", [0, 1, 7, 24, 49])
@pytest.mark.parametrize("offset", [20, 320, 620])
def test_a_click_at_frame_t_peaks_at_frame_t(frame: int, offset: int) -> None:
    samples = np.zeros(50 * 640, dtype=np.float32)
    samples[640 * frame + offset] = 0.9
    energy = log_mel(samples).mean(dim=1)
    assert int(energy.argmax()) == SUBFRAMES * frame + offset // 160
    assert int(energy.reshape(50, SUBFRAMES).sum(dim=1).argmax()) == frame


@pytest.mark.parametrize(("samples", "frames"), [(0, 1), (1, 1), (959, 1), (961, 2), (16_000, 25), (48_333, 76)])
def test_there_are_as_many_frames_as_the_sound_lasts(samples: int, frames: int) -> None:
    assert frame_count(samples) == frames
    assert log_mel(np.zeros(samples, dtype=np.float32)).shape == (SUBFRAMES * frames, MELS)


def test_loudness_does_not_matter_and_repeats_are_equal() -> None:
    quiet, loud = log_mel(voice(3, level=0.01)), log_mel(voice(3, level=0.01) * 30)
    torch.testing.assert_close(quiet, loud, atol=1e-3, rtol=0)
    assert torch.equal(quiet, log_mel(voice(3, level=0.01)))


def test_pauses_do_not_change_the_gain_and_silence_is_left_alone() -> None:
    speech = voice(2)
    padded = np.concatenate([speech, np.zeros(80_000, dtype=np.float32)])
    assert level([padded]).gain == pytest.approx(level([speech]).gain, rel=1e-3)
    assert level([np.zeros(16_000, dtype=np.float32)]).gain == 1.0
    assert level([np.full(16_000, 3e-4, dtype=np.float32)]).gain == 1.0


@pytest.mark.parametrize("size", [1000, 160_000, 400_003])
def test_sound_in_pieces_is_sound_in_one(size: int) -> None:
    samples = voice(43.21)
    pieces = [samples[first : first + size] for first in range(0, len(samples), size)]
    measured = level(pieces)
    assert measured == level([samples])
    assert measured.samples == len(samples)
    assert torch.equal(torch.cat(list(mel_blocks(pieces, measured.gain, measured.frames))), log_mel(samples))


def test_chunks_join_without_a_seam() -> None:
    samples = voice(70)  # seven blocks
    whole = log_mel(samples)
    seam = SUBFRAMES * 1500
    around = log_mel(samples[: 640 * 1520])[seam - 8 : seam + 8]
    # the gain is measured on other lengths, so that only the shape is compared
    shift = (whole[seam - 8 : seam + 8] - around).mean()
    torch.testing.assert_close(whole[seam - 8 : seam + 8], around + shift, atol=2e-2, rtol=0)
    assert len(whole) == SUBFRAMES * 1750


def test_windows_of_a_clip_have_its_mel() -> None:
    samples, firsts, frames = voice(12), [0, 7, 123, 270], 30
    levelled = np.pad(samples * np.float32(level([samples]).gain), MARGIN)
    length = 640 * frames + 2 * MARGIN
    windows = torch.stack([torch.from_numpy(levelled[640 * first :][:length]) for first in firsts])
    whole = log_mel(samples)
    expected = torch.stack([whole[SUBFRAMES * first :][: SUBFRAMES * frames] for first in firsts])
    assert torch.equal(mel_of(windows), expected)


def test_bands_rise_with_pitch() -> None:
    time = np.arange(16_000) / 16_000
    tones = [(0.1 * np.sin(2 * np.pi * hertz * time)).astype(np.float32) for hertz in (200, 1000, 4000)]
    peaks = [int(log_mel(tone).mean(dim=0).argmax()) for tone in tones]
    assert peaks == sorted(peaks)
    assert len(set(peaks)) == 3


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 640), dtype=np.float32), r"shape \(2, 640\)"),
        (np.array([0.0, np.nan, np.inf], dtype=np.float32), "2 samples that are NaN or infinite"),
    ],
)
def test_bad_sound_is_refused_with_what_was_got(samples: np.ndarray, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        log_mel(samples)
