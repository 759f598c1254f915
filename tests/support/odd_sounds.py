"""Sounds that nobody trains on: whispers, songs, music, noises, and speech spoilt in every way; mono at 16 kHz.

All are float32 (N,), made of fixed seeds.
"""

import io
import subprocess

import numpy as np
import soundfile
import soxr

from model.arrays import Samples
from tests.support.processes import PATIENCE_S

RATE = 16_000
FORMANTS = {"a": (800, 1200, 2600), "e": (450, 2100, 2700), "i": (300, 2300, 3000), "o": (450, 850, 2500)}  # Hz


def _time(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * RATE)) / RATE


def _float(sound: np.ndarray) -> Samples:
    return np.asarray(sound, dtype=np.float32)


def noise(seconds: float, *, colour: float = 0.0, seed: int = 0) -> Samples:
    """Noise whose power falls with frequency to that exponent: 0 white, 1 pink, 2 brown."""
    white = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    hertz = np.fft.rfftfreq(len(white), 1 / RATE)
    shaped = np.fft.irfft(np.fft.rfft(white) / np.maximum(hertz, 20) ** (colour / 2), len(white))
    return _float(0.1 * shaped / shaped.std())


def tone(seconds: float, hertz: float) -> Samples:
    """A tone of half the full scale."""
    return _float(0.5 * np.sin(2 * np.pi * hertz * _time(seconds)))


def buzz(hertz: np.ndarray, formants: np.ndarray) -> Samples:
    """Harmonics of a pitch (N,) in Hz through resonances (N, 3) in Hz: a glottal source and a vocal tract."""
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    sound = np.zeros(len(hertz))
    for number in range(1, int(7000 / hertz.min())):
        at = number * hertz
        gain = sum(
            1 / (1 + ((at - formant) / 90) ** 2) / (order + 1) ** 1.5 for order, formant in enumerate(formants.T)
        )
        sound += np.where(at < 7500, gain / number**0.5, 0) * np.sin(number * phase)
    return _float(0.1 * sound / sound.std())


def vowels(seconds: float) -> Samples:
    """A voice that goes from vowel to vowel and back three times a second, never silent."""
    time = _time(seconds)
    share = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * time)[:, None]
    first, second = np.array(FORMANTS["a"]), np.array(FORMANTS["i"])
    return buzz(130 + 20 * np.sin(2 * np.pi * 0.7 * time), (1 - share) * first + share * second)


def held_vowel(seconds: float) -> Samples:
    """One vowel at one pitch."""
    return buzz(np.full(round(seconds * RATE), 150.0), np.broadcast_to(FORMANTS["a"], (round(seconds * RATE), 3)))


def singing(seconds: float = 5.0) -> Samples:
    """Vowels held for a second each, with vibrato, over the notes of an octave."""
    time = _time(seconds)
    step = time.astype(int)
    notes = 220.0 * 2 ** (np.array([0, 4, 7, 12, 7, 4])[step % 6] / 12)
    vowels = np.array([FORMANTS[vowel] for vowel in "aeio"])[step % 4]
    swell = np.clip(8 * (time % 1.0), 0, 1) * np.clip(8 * (1 - time % 1.0), 0, 1)
    return _float(buzz(notes * 2 ** (0.5 / 12 * np.sin(2 * np.pi * 5.5 * time)), vowels) * swell)


def whispered(speech: Samples, *, order: int = 18, size: int = 512) -> Samples:
    """Speech whose voice is replaced by noise, frame by frame, through the same all-pole vocal tract."""
    random = np.random.default_rng(1)
    window = np.hanning(size + 1)[:-1]
    result = np.zeros(len(speech) + size)
    for first in range(0, len(speech) - size, size // 2):
        frame = speech[first : first + size] * window
        spectrum = np.abs(np.fft.rfft(frame, 2 * size)) ** 2
        correlation = np.fft.irfft(spectrum)[: order + 1]
        correlation[0] = correlation[0] * 1.001 + 1e-9
        lags = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
        coefficients = np.linalg.solve(correlation[lags], correlation[1:])
        error = max(float(correlation[0] - coefficients @ correlation[1:]), 0.0)
        tract = np.fft.rfft(np.concatenate([[1.0], -coefficients]), size)
        excited = np.fft.rfft(random.standard_normal(size)) * np.sqrt(error / size) / tract
        result[first : first + size] += np.fft.irfft(excited) * window
    return _float(result[: len(speech)])


def chords(seconds: float) -> Samples:
    """Chords of plucked strings, two a second, with an attack of 10 ms."""
    time = _time(seconds)
    notes = np.array([[220.0, 277.2, 329.6], [174.6, 220.0, 261.6], [196.0, 246.9, 293.7]])[(2 * time).astype(int) % 3]
    harmonics = sum(np.sin(2 * np.pi * number * notes.T * time).sum(axis=0) / number for number in range(1, 8))
    since = time % 0.5
    music = harmonics * np.clip(since / 0.01, 0, 1) * np.exp(-3 * since)
    return _float(0.1 * music / music.std())


def pad(seconds: float) -> Samples:
    """One chord held, as an organ or a synthesiser does."""
    notes = np.array([[130.8], [164.8], [196.0], [261.6]])
    sound = sum(np.sin(2 * np.pi * number * notes * _time(seconds)).sum(axis=0) / number for number in range(1, 8))
    return _float(0.1 * sound / sound.std())


def drums(seconds: float) -> Samples:
    """A kick each half second, a snare between them, and hats of 8 a second."""
    time, hiss = _time(seconds), noise(seconds, seed=2)
    kick = np.sin(2 * np.pi * (50 * (time % 0.5) + 4 * (1 - np.exp(-30 * (time % 0.5))))) * np.exp(-12 * (time % 0.5))
    snare, hat = hiss * np.exp(-18 * ((time + 0.25) % 0.5)), np.diff(hiss, append=0) * np.exp(-60 * (time % 0.125))
    sound = kick + 4 * snare + 3 * hat
    return _float(0.1 * sound / sound.std())


def band(seconds: float) -> Samples:
    """Chords and drums together."""
    return _float((chords(seconds) + 0.7 * drums(seconds)) / 1.22)


def siren(seconds: float) -> Samples:
    """A tone with harmonics that rises and falls by more than an octave in four seconds."""
    hertz = 900 + 450 * np.sin(2 * np.pi * _time(seconds) / 4)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    harmonics = np.array([[1], [2], [3], [4]])
    return _float(0.1 * (np.sin(harmonics * phase) / harmonics).sum(axis=0))


def claps(seconds: float) -> Samples:
    """A room of people who clap: bursts of noise of some ms at any time."""
    random = np.random.default_rng(3)
    sound = np.zeros(round(seconds * RATE) + RATE)
    for at in random.uniform(0, seconds, int(40 * seconds)):
        first = int(at * RATE)
        sound[first : first + 400] += (
            random.uniform(0.2, 1) * random.standard_normal(400) * np.exp(-np.arange(400) / 80)
        )
    sound = sound[: round(seconds * RATE)]
    return _float(0.1 * sound / sound.std())


def barks(seconds: float) -> Samples:
    """A dog: two rough barks each second, of 150 ms, whose pitch falls."""
    time = _time(seconds)
    since = time % 0.5
    formants = np.broadcast_to(np.array([700, 1400, 2600]), (len(time), 3))
    voice = buzz(450 * np.exp(-1.5 * np.minimum(since, 0.2)), formants) + 0.4 * noise(seconds, colour=1, seed=4)
    return _float(2 * voice * np.clip(since / 0.01, 0, 1) * np.exp(-((since / 0.12) ** 4)))


def hum(seconds: float) -> Samples:
    """What mains and a fan leave in a recording without a voice."""
    time = _time(seconds)
    mains = sum(np.sin(2 * np.pi * 50 * number * time) / number for number in (1, 2, 3, 5, 7))
    return _float(0.01 * mains + 0.1 * noise(seconds, colour=2, seed=5))


def over(speech: Samples, other: Samples, decibels: float) -> Samples:
    """Speech that is so many decibels louder than what sounds with it."""
    return _float(speech + other * (speech.std() / other.std() * 10 ** (-decibels / 20)))


def through_a_phone(speech: Samples) -> Samples:
    """What lies between 300 and 3400 Hz."""
    spectrum, hertz = np.fft.rfft(speech), np.fft.rfftfreq(len(speech), 1 / RATE)
    return _float(np.fft.irfft(np.where((hertz > 300) & (hertz < 3400), spectrum, 0), len(speech)))


def clipped(speech: Samples) -> Samples:
    """Twenty decibels too loud for its recorder."""
    return _float(np.clip(10 * speech / np.abs(speech).max(), -1, 1))


def resampled(speech: Samples, factor: float) -> Samples:
    """Played faster by a factor: pitch, formants and pace."""
    return _float(soxr.resample(speech, RATE * factor, RATE))


def paced(speech: Samples, factor: float, *, size: int = 640) -> Samples:
    """Spoken faster by a factor at the same pitch: frames added where the waves fit best."""
    hop, search = size // 2, 120
    window = np.hanning(size + 1)[:-1]
    count = int((len(speech) - size - 2 * search - hop) / (hop * factor))
    result = np.zeros((count + 1) * hop + size)
    follow = speech[:size]
    for number in range(count):
        start = int(number * hop * factor)
        near = speech[start : start + size + 2 * search]
        at = start + int(np.correlate(near, follow, "valid").argmax())
        result[number * hop : number * hop + size] += window * speech[at : at + size]
        follow = speech[at + hop : at + hop + size]
    return _float(result[: count * hop])


def click(seconds: float) -> Samples:
    """Silence with one sample as loud as can be in its middle."""
    sound = np.zeros(round(seconds * RATE), np.float32)
    sound[len(sound) // 2] = 1.0
    return sound


def with_pause(word: Samples, seconds: float) -> Samples:
    """A word, silence, and the word again."""
    return np.concatenate([word, np.zeros(round(seconds * RATE), np.float32), word])


def synthesised(text: str, voice: str, *, words_per_minute: int = 175) -> Samples:
    """Text read by eSpeak NG's command, which has to be there, in any of its languages."""
    command = ["espeak-ng", "--stdin", "--stdout", "-v", voice, "-s", str(words_per_minute)]
    made = subprocess.run(command, input=text.encode(), capture_output=True, check=True, timeout=PATIENCE_S).stdout
    speech, rate = soundfile.read(io.BytesIO(made), dtype="float32")
    return _float(soxr.resample(speech, rate, RATE))
