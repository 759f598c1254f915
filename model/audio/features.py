"""Speech to log-mel frames that lie exactly on the video's clock.

Video frame t shows the time from t/25 s to (t+1)/25 s, that is samples [640 t, 640 (t+1)) at 16 kHz. Each video frame
has four sub-frames of 160 samples, and each sub-frame's analysis window is centred on its own middle, so that a click
inside video frame t has its peak in video frame t.

Sound comes in pieces, and is gone through twice: once for its length and loudness, once for the features. How it is cut
changes no bit of the result.
"""

import functools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.arrays import Doubles, Samples
from model.audio.streams import BLOCK_FRAMES, block_lengths
from model.errors import AudioError
from model.morphable.basis import MOTION_FPS

Pieces = Iterable[Samples]  # of one sound, samples (n,) each, of any lengths

SAMPLE_RATE = 16_000
SAMPLES_PER_FRAME = SAMPLE_RATE // MOTION_FPS  # 640
SUBFRAMES = 4
HOP = SAMPLES_PER_FRAME // SUBFRAMES  # 160 samples, 10 ms
WINDOW = 400  # 25 ms
FFT = 512
MELS = 64
LOWEST_HZ, HIGHEST_HZ = 60.0, 7600.0

TARGET_DB = -23.0  # loudness every recording is brought to, before the logarithm
GATE_DB = -60.0  # a block under this is silence and has no part in the loudness
GATE_BELOW_MEAN_DB = 10.0  # nor has a block this far under the mean: pauses do not make a voice louder
LARGEST_GAIN_DB = 30.0
FLOOR = 1e-5  # mel power of 0 in the result: some 40 dB under speech
LOG_SPREAD = 4.0  # nats that are 1 in the result: speech lies between 0 and 3
MARGIN = (WINDOW - HOP) // 2  # samples that the first window starts before the first sample


def frame_count(samples: int) -> int:
    """How many video frames `samples` samples last: at least one."""
    return max(1, round(samples / SAMPLES_PER_FRAME))


def checked_samples(samples: Samples) -> Samples:
    """Mono samples (N,) as float32. Raises AudioError: they are of another shape or not finite."""
    if samples.ndim != 1:
        raise AudioError(f"sound of shape {tuple(samples.shape)}; one channel of samples, shape (N,), is allowed")
    bad = int((~np.isfinite(samples)).sum())
    if bad:
        raise AudioError(f"sound with {bad} samples that are NaN or infinite; all must be finite")
    return np.ascontiguousarray(samples, dtype=np.float32)


@dataclass(frozen=True)
class Level:
    """Of a whole sound: how many samples it has, and the factor that brings its speech to TARGET_DB."""

    samples: int
    gain: float

    @property
    def frames(self) -> int:
        """Video frames that it lasts."""
        return frame_count(self.samples)


def level(pieces: Pieces) -> Level:
    """Measure a sound. Silence has gain 1.

    The measure is that of ITU-R BS.1770 without its filter: the mean power of 40 ms blocks, those under an absolute
    gate and then those far under the mean left out. Raises AudioError as `checked_samples`.
    """
    count, powers = 0, []
    for piece in evenly(pieces):
        count += len(piece)
        powers.append(powers_of(piece[: len(piece) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME]))
    gated = speech_powers(np.concatenate([np.zeros(0), *powers]))
    if not len(gated):
        return Level(count, 1.0)
    gain_db = TARGET_DB - 10 * math.log10(gated.mean())
    return Level(count, float(10 ** (min(gain_db, LARGEST_GAIN_DB) / 20)))


def powers_of(samples: Samples) -> Doubles:
    """The power (B,) of the blocks of 40 ms of samples (640 B,)."""
    blocks = samples.reshape(-1, SAMPLES_PER_FRAME)
    return np.asarray(np.einsum("bn,bn->b", blocks, blocks, dtype=np.float64) / SAMPLES_PER_FRAME)


def speech_powers(power: Doubles) -> Doubles:
    """Those of blocks' powers (B,) that count for the loudness."""
    power = power[power > 10 ** (GATE_DB / 10)]
    return power[power > power.mean() * 10 ** (-GATE_BELOW_MEAN_DB / 10)] if len(power) else power


@functools.cache
def mel_filters() -> Tensor:
    """Triangular filters (FFT/2+1, MELS) of unit sum, even on the mel scale m = 2595 log10(1 + f/700)."""
    lowest, highest = (2595 * math.log10(1 + hertz / 700) for hertz in (LOWEST_HZ, HIGHEST_HZ))
    edges_mel = torch.linspace(lowest, highest, MELS + 2, dtype=torch.float64)
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    bins = torch.linspace(0, SAMPLE_RATE / 2, FFT // 2 + 1, dtype=torch.float64)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = torch.minimum(rising, falling).clamp(min=0)
    return (filters / filters.sum(dim=0)).float()


def log_mel(samples: Samples, *, frames: int | None = None) -> Tensor:
    """Loudness-normalised log-mel (SUBFRAMES * T, MELS) of mono 16 kHz samples (N,).

    T is `frames`, or as many as the sound lasts; beyond the sound there is silence. Deterministic. Raises AudioError.
    """
    measured = level([samples])
    return torch.cat(list(mel_blocks([samples], measured.gain, measured.frames if frames is None else frames)))


def mel_blocks(pieces: Pieces, gain: float, frames: int) -> Iterator[Tensor]:
    """The log-mel of `frames` frames of a sound in blocks (SUBFRAMES * T, MELS), T as `block_lengths` says.

    Raises AudioError as `checked_samples`.
    """
    levelled = (piece * np.float32(gain) for piece in evenly(pieces))
    return levelled_mel_blocks(levelled, block_lengths(frames))


def levelled_mel_blocks(pieces: Pieces, lengths: Iterable[int]) -> Iterator[Tensor]:
    """The log-mel (SUBFRAMES * T, MELS) of pieces that have their loudness, in blocks of these `lengths` T.

    No more pieces are taken than the next block needs.
    """
    source = iter(pieces)
    held = np.zeros(MARGIN, np.float32)
    for block_frames in lengths:
        length = block_frames * SAMPLES_PER_FRAME + 2 * MARGIN
        while len(held) < length:
            piece = next(source, None)
            held = np.concatenate([held, np.zeros(length - len(held), np.float32) if piece is None else piece])
        yield mel_of(torch.from_numpy(held[:length]))
        held = held[length - 2 * MARGIN :]


def mel_of(samples: Tensor) -> Tensor:
    """The log-mel (SUBFRAMES * T, MELS) of samples (MARGIN + 640 T + MARGIN,) with their gain; of a batch the same.

    It is ln(1 + power / FLOOR) / LOG_SPREAD, so that silence is 0 and padding with zeros is padding with silence.
    """
    if samples.ndim > 1:  # each by itself: what a batch needs at once is not in the cache and takes twice as long
        return torch.stack([mel_of(each) for each in samples])
    window = torch.hann_window(WINDOW, periodic=False)
    power = torch.fft.rfft(samples.unfold(-1, WINDOW, HOP) * window, n=FFT).abs().square() / window.square().sum()
    return torch.log1p(power @ mel_filters() / FLOOR) / LOG_SPREAD


def evenly(pieces: Pieces, size: int = BLOCK_FRAMES * SAMPLES_PER_FRAME) -> Iterator[Samples]:
    """The samples of pieces in blocks of `size` each and the rest, checked."""
    waiting: list[Samples] = []
    count = 0
    for whole in pieces:
        piece = checked_samples(whole)
        while count + len(piece) >= size:
            yield np.concatenate([*waiting, piece[: size - count]])
            waiting, piece, count = [], piece[size - count :], 0
        waiting, count = [*waiting, piece], count + len(piece)
    if count:
        yield np.concatenate(waiting)
