import math

import numpy as np
import pytest
import torch
from torch import Tensor

from model.audio.features import SAMPLES_PER_FRAME, frame_count
from model.training.audio.sounds import augmented, faster, resampled_track
from model.training.audio.sounds.augmentation import effects
from model.training.audio.sounds.frames import sound_of, spectra, through
from model.training.audio.sounds.microphones import low_pass
from model.training.audio.sounds.noises import spoken_power
from model.training.audio.sounds.rooms import room_response
from model.training.audio.sounds.voices import shifted

NAMES = list(effects(torch.zeros(2, 640), 0))
FORMANTS_HZ = (700, 1200, 2600)


def vowel(pitch: float, *, seconds: float = 1.0) -> Tensor:
    """Harmonics of `pitch` under an envelope with peaks at FORMANTS_HZ."""
    time = torch.arange(int(seconds * 16_000), dtype=torch.float64) / 16_000
    sound = torch.zeros_like(time)
    for order in range(1, int(7500 / pitch)):
        hertz = order * pitch
        strength = sum(
            share / (1 + ((hertz - peak) / (60 + 0.03 * peak)) ** 2)
            for peak, share in zip(FORMANTS_HZ, (1, 0.6, 0.3), strict=True)
        )
        sound = sound + strength * torch.cos(2 * math.pi * hertz * time + order**2)
    return (0.05 * sound / sound.std()).float()


def speech(batch: int, seconds: float = 1.0) -> Tensor:
    """Vowels of several pitches, with pauses."""
    rows = [vowel(90 + 17 * number, seconds=seconds) for number in range(batch)]
    time = torch.arange(len(rows[0])) / 16_000
    return torch.stack(rows) * (torch.sin(2 * math.pi * 2 * time) > -0.5)


def pitch_of(sound: Tensor) -> float:
    """By the first peak of the autocorrelation that is nearly as high as the highest."""
    middle = sound[3000:-3000]
    r = torch.fft.irfft(torch.fft.rfft(middle, n=2 * len(middle)).abs().square())[:300]
    least = 0.8 * r[40:].max()
    lag = next(k for k in range(40, 299) if r[k] > least and r[k - 1] < r[k] >= r[k + 1])
    bend = 0.5 * (r[lag - 1] - r[lag + 1]) / (r[lag - 1] - 2 * r[lag] + r[lag + 1])
    return 16_000 / (lag + float(bend))


def formant_of(sound: Tensor) -> float:
    """The highest peak of the envelope, in Hz: of spectra of 32 ms smoothed by way of the cepstrum."""
    frames = sound[3000:-3000].unfold(0, 512, 128) * torch.hann_window(512)
    cepstrum = torch.fft.irfft(torch.fft.rfft(frames).abs().square().mean(dim=0).log())
    cepstrum[40:-39] = 0
    curve = torch.fft.rfft(cepstrum).real
    k = int(curve.argmax())
    return 31.25 * (k + float(0.5 * (curve[k - 1] - curve[k + 1]) / (curve[k - 1] - 2 * curve[k] + curve[k + 1])))


@pytest.mark.parametrize("pitch", [0.8, 0.9, 1.12, 1.25])
@pytest.mark.parametrize("hertz", [100, 130])
def test_pitch_is_shifted_and_formants_stay(pitch: float, hertz: float) -> None:
    before = vowel(hertz)
    after = shifted(before, pitch=pitch, formants=1.0)
    assert pitch_of(after) == pytest.approx(hertz * pitch, rel=0.01)
    assert formant_of(after) == pytest.approx(formant_of(before), rel=0.08)


@pytest.mark.parametrize("formants", [0.86, 1.16])
@pytest.mark.parametrize("pitch", [0.85, 1.0, 1.2])
def test_formants_are_shifted_and_pitch_has_its_own_way(pitch: float, formants: float) -> None:
    before = vowel(120)
    after = shifted(before, pitch=pitch, formants=formants)
    assert pitch_of(after) == pytest.approx(120 * pitch, rel=0.01)
    assert formant_of(after) / formant_of(before) == pytest.approx(formants, rel=0.08)
    assert spoken_power(after) == pytest.approx(spoken_power(before), rel=0.6)


@pytest.mark.parametrize("name", NAMES)
def test_a_click_stays_where_it_was(name: str) -> None:
    sounds = speech(3)
    sounds[0] = 0
    sounds[0, 8000] = 0.9
    for seed in range(12):
        torch.manual_seed(seed)
        _, effect = effects(sounds, 0)[name]
        changed = effect(sounds[0]).abs()
        if name == "gaps" and not changed.any():
            continue  # it was in the gap
        onset = int((changed > 0.5 * changed.max()).nonzero()[0])
        assert abs(onset - 8000) <= 80, f"seed {seed}"


@pytest.mark.parametrize("name", NAMES)
def test_every_effect_changes_speech_within_bounds(name: str) -> None:
    sounds, unchanged = speech(3), 0
    for seed in range(6):
        torch.manual_seed(seed)
        _, effect = effects(sounds, 0)[name]
        changed = effect(sounds[0])
        assert changed.shape == sounds[0].shape
        assert changed.isfinite().all()
        unchanged += torch.equal(changed, sounds[0])
        assert 0.05 < spoken_power(changed) / spoken_power(sounds[0]) < 20
    assert unchanged <= 2


@pytest.mark.parametrize("name", NAMES)
def test_silence_stays_silence(name: str) -> None:
    sounds = speech(3)
    sounds[0] = 0
    torch.manual_seed(0)
    _, effect = effects(sounds, 0)[name]
    assert effect(sounds[0]).abs().max() < 1e-5


def test_level_of_speech_stays() -> None:
    torch.manual_seed(0)
    sounds = speech(4).repeat(6, 1) * torch.logspace(-4, 1, 24)[:, None]
    after = augmented(sounds)
    assert after.isfinite().all()
    decibels = [
        10 * math.log10(spoken_power(one) / spoken_power(other)) for one, other in zip(after, sounds, strict=True)
    ]
    assert np.std(decibels) > 0.5
    assert max(map(abs, decibels)) < 8
    assert not augmented(torch.zeros(4, 16_000)).any()


def test_a_seed_makes_the_same_bytes_and_sounds_are_changed_by_themselves() -> None:
    sounds = speech(16)
    other = sounds.clone()
    other[3] = sounds[3].flip(0)
    results = []
    for given in (sounds, sounds, other):
        torch.manual_seed(5)
        results.append(augmented(given))
    first, again, changed = results
    assert torch.equal(first, again)
    torch.manual_seed(6)
    assert not torch.equal(first, augmented(sounds))
    same = [torch.equal(one, another) for one, another in zip(first, changed, strict=True)]
    assert not same[3]
    assert sum(same) >= 12  # it may be heard in the babble behind others


def test_one_sound_alone_has_no_voices_behind_it() -> None:
    sounds = speech(1)
    _, effect = effects(sounds, 0)["babble"]
    assert torch.equal(effect(sounds[0]), sounds[0])


@pytest.mark.parametrize("samples", [1, 479, 16_000, 20_011])
def test_frames_give_back_the_sound(samples: int) -> None:
    torch.manual_seed(0)
    sound = torch.randn(samples)
    torch.testing.assert_close(sound_of(spectra(sound), samples), sound, atol=1e-5, rtol=0)


def test_a_filter_takes_what_it_shall() -> None:
    time = torch.arange(16_000) / 16_000
    low, high = torch.sin(2 * math.pi * 500 * time), torch.sin(2 * math.pi * 6000 * time)
    after = through(low + high, low_pass(2500, order=6))
    torch.testing.assert_close(after[500:-500], low[500:-500], atol=0.01, rtol=0)


def test_a_room_answers_at_once_and_dies_away() -> None:
    for seed in range(8):
        torch.manual_seed(seed)
        response = room_response()
        assert response[0] == 1
        assert not response[1:30].any()
        energy = response[1:].square()
        assert energy.sum() < 1.001
        assert energy[: len(energy) // 2].sum() > 10 * energy[len(energy) // 2 :].sum()


@pytest.mark.parametrize("factor", [0.8, 0.93, 1.0, 1.1, 1.25])
def test_faster_sound_and_its_track_stay_on_one_clock(factor: float) -> None:
    frames, middles = 100, (torch.arange(100) + 0.5) * SAMPLES_PER_FRAME
    places = torch.tensor([9_000.0, 30_000.0, 47_300.0])

    def loudness(at: Tensor) -> Tensor:
        return torch.exp(-0.5 * ((at[:, None] - places) / 1500) ** 2).sum(dim=1)

    time = torch.arange(frames * SAMPLES_PER_FRAME, dtype=torch.float64)
    sound = (loudness(time).sqrt() * torch.sin(2 * math.pi * 440 / 16_000 * time)).float().numpy()
    quick, track = faster(sound, factor), resampled_track(loudness(middles)[:, None], factor)[:, 0]
    assert len(quick) == round(len(sound) / factor)
    assert quick.dtype == np.float32
    assert len(track) == frame_count(len(quick))
    heard = torch.from_numpy(quick[: len(quick) // 640 * 640]).view(-1, 640).square().mean(dim=1) * 2
    shared = min(len(heard), len(track))
    torch.testing.assert_close(heard[:shared], track[:shared], atol=0.05, rtol=0)


def test_a_track_at_its_own_speed_stays() -> None:
    track = torch.randn(50, 3)
    assert torch.equal(resampled_track(track, 1.0), track)
    assert resampled_track(track[:1], 1.3).shape == (1, 3)
