"""What is heard of a sound: the band of speech, however the sound is cut."""

from collections.abc import Iterator

import numpy as np
import pytest

from model.audio.band import REACH, SIZE, SpeechBand
from model.errors import AudioError
from tests.support.odd_sounds import noise, tone


def heard(*pieces: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *SpeechBand(pieces)])


@pytest.mark.parametrize("hertz", [70, 130, 1_000, 7_500])
def test_a_tone_of_the_band_is_as_it_was(hertz: float) -> None:
    sound = tone(2, hertz)
    middle = slice(2 * REACH, -2 * REACH)
    np.testing.assert_allclose(heard(sound)[middle], sound[middle], atol=0.005)


@pytest.mark.parametrize("hertz", [1, 5, 15, 7_700, 7_900])
def test_a_tone_beside_the_band_is_gone(hertz: float) -> None:
    assert np.abs(heard(tone(2, hertz))[2 * REACH : -2 * REACH]).max() < 0.005


@pytest.mark.parametrize("length", [1, 100, 16_000, SIZE + 1])
def test_a_constant_is_silence_from_the_first_sample_to_the_last(length: int) -> None:
    assert np.abs(heard(np.full(length, 0.8, np.float32))).max() < 1e-6


@pytest.mark.parametrize("length", [0, 1, REACH - 1, SIZE - 1, SIZE, SIZE + 2 * REACH, 2 * SIZE + 77])
def test_it_is_as_long_as_it_was_and_how_it_is_cut_changes_no_bit(length: int) -> None:
    sound = noise(21)[:length]
    whole = heard(sound)
    assert len(whole) == length
    assert whole.dtype == np.float32
    cuts = np.sort(np.random.default_rng(0).integers(0, length + 1, 7))
    assert np.array_equal(heard(*np.split(sound, cuts)), whole)


def test_a_filter_of_short_pieces_hears_the_same_and_is_no_later_than_its_reach() -> None:
    read = 0

    def pieces() -> Iterator[np.ndarray]:
        nonlocal read
        for piece in np.split(noise(1), 125):
            read += len(piece)
            yield piece

    filtered = []
    for piece in SpeechBand(pieces(), 128):
        filtered.append(piece)
        assert read == min(128 * len(filtered) + REACH, 16_000)
    np.testing.assert_allclose(np.concatenate(filtered), heard(noise(1)), atol=1e-6)


def test_it_may_be_gone_through_again() -> None:
    band = SpeechBand([noise(1), noise(1)])
    assert np.array_equal(np.concatenate(list(band)), np.concatenate(list(band)))


def test_what_is_no_sound_is_refused() -> None:
    with pytest.raises(AudioError, match="1 samples that are NaN"):
        heard(noise(1), np.array([np.nan], np.float32))
