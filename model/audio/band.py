"""The band of a sound that is heard as speech; what lies outside of it must not count as loudness.

A constant, the rumble of wind or a tone that nobody hears can hold more power than the voice. It would set the gain
that brings a recording to its loudness, and the voice would be taken for silence.
"""

from collections.abc import Iterator

import numpy as np

from model.arrays import Doubles, Floats, Samples
from model.audio.features import SAMPLE_RATE, Pieces, evenly

LOWEST_HZ, HIGHEST_HZ = 40.0, 7650.0  # half of a tone there is left
REACH = 512  # samples of the filter on either side: from all to nothing in 50 Hz
SIZE = (1 << 15) - 3 * REACH  # samples filtered at once, however the sound is cut; the last ones have REACH more


class SpeechBand:
    """Pieces (n,) of a sound without what lies outside of the band; as often gone through as they can be.

    A linear-phase filter, a windowed sinc: nothing is late. Before its start and after its end the sound is taken to go
    on at its first and last sample, so that a constant is no click. The pieces that come have `size` samples, and are
    known when REACH more are. Raises AudioError as `checked_samples`.
    """

    def __init__(self, pieces: Pieces, size: int = SIZE) -> None:
        self.pieces, self.size = pieces, size
        self.length = size + 3 * REACH  # of a Fourier transform
        self.response = np.fft.rfft(_filter(), self.length)

    def __iter__(self) -> Iterator[Samples]:
        held: list[Samples] = []
        count, last = 0, np.zeros(1, np.float32)
        for piece in evenly(self.pieces, self.size):
            if not held:
                held, count = [np.repeat(piece[:1], REACH)], REACH
            held, count, last = [*held, piece], count + len(piece), piece[-1:]
            while count >= self.size + 2 * REACH:
                block = np.concatenate(held)
                yield self._filtered(block[: self.size + 2 * REACH])
                held, count = [block[self.size :]], count - self.size
        if count > REACH:
            yield self._filtered(np.concatenate([*held, np.repeat(last, REACH)]))

    def _filtered(self, block: Samples) -> Floats:
        """Samples (n,) of a block that has REACH more on either side."""
        filtered = np.fft.irfft(np.fft.rfft(block.astype(np.float64), self.length) * self.response, self.length)
        return np.asarray(filtered[2 * REACH : len(block)], dtype=np.float32)


def _filter() -> Doubles:
    """The impulse response (2 REACH + 1,): the difference of two low-pass filters under a Hamming window."""
    time = np.arange(-REACH, REACH + 1)
    high, low = (2 * hertz / SAMPLE_RATE for hertz in (HIGHEST_HZ, LOWEST_HZ))
    window = np.hamming(2 * REACH + 1)
    upper, lower = high * np.sinc(high * time) * window, low * np.sinc(low * time) * window
    return np.asarray(upper / upper.sum() - lower / lower.sum())  # a constant is gone to the last bit but rounding
