"""Speech that becomes motion while it is spoken, as the whole of it would."""

import gc
import tracemalloc

import numpy as np
import pytest
import torch

from model.arrays import Floats, Samples
from model.audio import SpeechStyle, SpeechToMotion
from model.audio.band import SpeechBand
from model.audio.features import level, log_mel
from model.audio.hearing import closure_blocks, sound_track, sounds
from model.audio.live import PIECE, LiveSpeech
from model.audio.quick_hearing import quick_closures, quick_sounds
from model.audio.running_level import RunningLevel
from model.data.speech_clips import read_sound
from model.errors import AudioError, MotionSpaceError
from model.evaluation.audio.synchrony import MOST_LAG, lag_curve, opening_gradient
from model.morphable import MorphableModel
from model.morphable.basis import EXPRESSION, POSE
from tests.support import odd_sounds
from tests.support.paths import ROOT

REST = np.zeros(70, np.float32)
STYLE = SpeechStyle(seed=3, blink_rate=0)


@pytest.fixture(scope="module")
def speaker() -> SpeechToMotion:
    return SpeechToMotion.load()


@pytest.fixture(scope="module")
def start() -> Floats:
    motion = (0.5 * np.random.default_rng(4).standard_normal(70)).astype(np.float32)
    motion[64:] = [0.3, -0.1, 0.05, 0.1, 0.02, -0.03]
    return motion


def heard(live: LiveSpeech, sound: Samples, size: int = 1_600) -> list[Floats]:
    """What comes of each piece of a sound."""
    return [live.hear(sound[first : first + size]) for first in range(0, len(sound), size)]


def motions(live: LiveSpeech, sound: Samples, size: int = 1_600) -> Floats:
    return np.concatenate([*heard(live, sound, size), live.rest()])


def test_what_is_heard_frame_by_frame_is_what_is_heard_of_the_whole(speaker: SpeechToMotion, speech: Samples) -> None:
    network, mel = speaker.network, log_mel(speech)
    (whole,), (likely,) = sounds(network, [sound_track(network, mel)]), closure_blocks(network, [mel])
    one_by_one = [torch.cat(each) for each in zip(*quick_sounds(network, mel.split(4)), strict=True)]
    closures = torch.cat(list(quick_closures(network, mel.split(4))))
    known = len(whole.expected) - network.config.look_ahead_frames - 1
    for quick, expected in [*zip(one_by_one, whole, strict=True), (closures[:known], likely)]:
        assert len(quick) == known
        torch.testing.assert_close(quick, expected[:known], atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("decibels", [-30, -10, 0, 10])
def test_lips_move_as_those_that_know_the_whole_sound(decibels: float, speaker: SpeechToMotion) -> None:
    sound = read_sound(ROOT / "service/samples/speech.flac") * np.float32(10 ** (decibels / 20))
    gradient = opening_gradient(MorphableModel.load()).numpy()
    whole = speaker.generate(sound, REST, STYLE)[:, EXPRESSION] @ gradient
    live = motions(speaker.live(REST, STYLE), sound)[: len(whole), EXPRESSION] @ gradient
    after = slice(50, -30)
    curve = lag_curve(live[after], whole[after])
    assert int(curve.argmax()) == MOST_LAG
    assert curve.max() > 0.95
    assert 0.8 < live[after].std() / whole[after].std() < 1.2


@pytest.mark.slow
def test_how_a_sound_is_cut_changes_no_bit(speaker: SpeechToMotion, speech: Samples, start: Floats) -> None:
    style = SpeechStyle(seed=3, temperature=1.0)
    first, *others = (motions(speaker.live(start, style), speech[:-77], size) for size in (320, 1, 5_328, 48_000))
    for other in others:
        assert np.array_equal(first, other)


@pytest.mark.parametrize("size", [320, 1_000, 5_328])
def test_a_motion_comes_once_its_latency_was_heard(size: int, speaker: SpeechToMotion) -> None:
    live, count = speaker.live(REST), 0
    latency = round(16_000 * live.latency_s)
    for samples, made in enumerate(heard(live, odd_sounds.noise(2), size), 1):
        count += len(made)
        known = min(size * samples, 32_000)
        assert count == max(0, (known - latency) // 640 + 1)
    assert live.latency_s < 0.48 + 0.3


@pytest.mark.parametrize("samples", [0, 1, 639, 16_000, 33_333])
def test_each_frame_of_a_sound_has_its_motion_and_the_face_comes_to_rest(
    samples: int, speaker: SpeechToMotion, speech: Samples, start: Floats
) -> None:
    made = motions(speaker.live(start, SpeechStyle(blink_rate=50)), speech[:samples])
    assert made.dtype == np.float32
    assert made.shape == (max(1, round(samples / 640)) + 20 if samples else 0, 70)
    assert np.isfinite(made).all()
    if samples:
        np.testing.assert_allclose(made[[0, -1]], [start, start], atol=1e-5)


@pytest.mark.parametrize("cut", [12_345, 20_000, 40_000])
def test_a_sudden_stop_makes_no_jump(cut: int, speaker: SpeechToMotion, speech: Samples, start: Floats) -> None:
    spoken = motions(speaker.live(start, STYLE), speech[:cut])
    for part in (EXPRESSION, POSE):
        steps = np.abs(np.diff(spoken[:, part], axis=0)).mean(axis=1)
        assert steps[-21:].max() < 1.5 * steps[5:-21].max()


@pytest.mark.slow
def test_silence_and_what_is_no_speech_leave_the_face_at_rest(speaker: SpeechToMotion, start: Floats) -> None:
    for sound in (np.zeros(48_000, np.float32), 1e-3 * odd_sounds.noise(3), np.full(48_000, 0.8, np.float32)):
        assert np.abs(motions(speaker.live(start, STYLE), sound) - start).max() < 0.01


@pytest.mark.slow
def test_the_face_rests_in_the_silence_after_speech(speaker: SpeechToMotion, speech: Samples, start: Floats) -> None:
    live = speaker.live(start, STYLE)
    moved = np.abs(np.concatenate(heard(live, speech)) - start)
    assert moved[:, :64].max() > 0.5
    moved = np.abs(np.concatenate(heard(live, np.zeros(64_000, np.float32))) - start)
    assert moved[-30:].max() < 0.01


@pytest.mark.slow
def test_a_new_sound_after_a_rest_begins_as_the_first_did(
    speaker: SpeechToMotion, speech: Samples, start: Floats
) -> None:
    live = speaker.live(start, STYLE)
    first, again = motions(live, speech), motions(live, speech)
    assert first.shape == again.shape
    np.testing.assert_allclose(again[[0, -1]], [start, start], atol=1e-5)
    assert np.abs(first[:, 64:67] - again[:, 64:67]).max() > 1e-3  # a head does not do the same twice
    assert live.rest().shape == (0, 70)


@pytest.mark.slow
def test_the_seed_chooses(speaker: SpeechToMotion, speech: Samples, start: Floats) -> None:
    first, again, other = (motions(speaker.live(start, SpeechStyle(seed=seed)), speech) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert np.abs(first[:, 64:67] - other[:, 64:67]).max() > 1e-3


@pytest.mark.parametrize(
    ("sound", "message"),
    [
        (np.zeros((2, 9), np.float32), r"shape \(2, 9\)"),
        (np.float32(0.5), r"shape \(\)"),
        (np.array([0, np.nan, np.inf], np.float32), "2 samples that are NaN or infinite"),
    ],
)
def test_what_is_no_sound_is_refused_and_the_rest_goes_on(
    sound: Samples, message: str, speaker: SpeechToMotion, speech: Samples, start: Floats
) -> None:
    live = speaker.live(start, STYLE)
    live.hear(speech[:8_000])
    with pytest.raises(AudioError, match=message):
        live.hear(sound)
    assert len(live.hear(np.empty(0, np.float32))) == 0
    after = np.concatenate([live.hear(speech[8_000:16_000]), live.rest()])
    assert np.array_equal(after, motions(speaker.live(start, STYLE), speech[:16_000]))


@pytest.mark.slow
def test_the_callers_memory_may_be_used_again(speaker: SpeechToMotion, speech: Samples, start: Floats) -> None:
    live, memory, made = speaker.live(start, STYLE), np.empty(500, np.float32), []
    for piece in np.split(speech[:16_000], 32):
        memory[:] = piece
        made.append(live.hear(memory))
        memory[:] = 1
    assert np.array_equal(np.concatenate([*made, live.rest()]), motions(speaker.live(start, STYLE), speech[:16_000]))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(speaker: SpeechToMotion, speech: Samples) -> None:
    def held() -> tuple[int, int]:
        """Bytes that are held by Python and numpy, and tensors."""
        gc.collect()
        return tracemalloc.get_traced_memory()[0], sum(type(each) is torch.Tensor for each in gc.get_objects())

    live = speaker.live(REST)
    heard(live, np.tile(speech, 2))
    tracemalloc.start()
    try:
        heard(live, speech)
        memory, tensors = held()
        for _ in range(5):
            heard(live, speech)
        later, tensors_later = held()
    finally:
        tracemalloc.stop()
    assert later - memory < 100_000  # 15 seconds of sound have 960 000 bytes; 20 s of loudness are remembered
    assert tensors_later - tensors < 20


@pytest.mark.parametrize("decibels", [-45, -35, -25, -10, 0])
def test_the_running_level_is_soon_that_of_the_whole(decibels: float, speech: Samples) -> None:
    sound = speech * np.float32(10 ** (decibels / 20) / np.sqrt(np.mean(speech**2)))
    running = RunningLevel()
    for _ in running.levelled(SpeechBand([sound], PIECE)):
        pass
    assert abs(20 * np.log10(running.gain / level(SpeechBand([sound])).gain)) < 5
    before = running.gain
    for _ in running.levelled([np.zeros(PIECE, np.float32)] * 5_000):  # 40 s
        pass
    assert running.gain == before


def test_a_click_changes_the_running_level_little(speech: Samples) -> None:
    running = RunningLevel()
    for _ in running.levelled(SpeechBand([speech], PIECE)):
        pass
    before = running.gain
    for _ in running.levelled(SpeechBand([odd_sounds.click(1)], PIECE)):
        pass
    assert abs(20 * np.log10(running.gain / before)) < 1


def test_a_start_that_is_no_motion_is_refused(speaker: SpeechToMotion) -> None:
    with pytest.raises(MotionSpaceError, match=r"shape \(73,\)"):
        speaker.live(np.zeros(73, np.float32))
