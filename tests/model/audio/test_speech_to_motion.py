import itertools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from model.audio import SpeechStyle, SpeechToMotion, features
from model.audio.features import log_mel
from model.audio.hearing import sound_track
from model.audio.presence import presence_blocks
from model.audio.sampling import sample_codes
from model.audio.streams import BLOCK_FRAMES, shared
from model.audio.utterance import ramp
from model.data.speech_clips import read_sound
from model.errors import AudioError, ControlError, MotionSpaceError
from model.evaluation.audio.likelihood import gaussian_nll
from model.evaluation.audio.synchrony import MOST_LAG, correlation, lag_curve, opening_gradient
from model.extractor import Extractor
from model.morphable import MorphableModel
from tests.support.odd_sounds import through_a_phone, vowels
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def speaker() -> SpeechToMotion:
    return SpeechToMotion.load()


@pytest.fixture(scope="module")
def start() -> np.ndarray:
    motion = (0.5 * np.random.default_rng(4).standard_normal(70)).astype(np.float32)
    motion[64:] = [0.3, -0.1, 0.05, 0.1, 0.02, -0.03]
    return motion


@pytest.mark.parametrize("samples", [0, 1, 319, 961, 16_000, 33_333])
def test_there_are_as_many_frames_as_sound(
    samples: int, speech: np.ndarray, speaker: SpeechToMotion, start: np.ndarray
) -> None:
    motions = speaker.generate(speech[:samples], start, SpeechStyle(seed=1))
    assert motions.shape == (max(1, round(samples / 640)), 70)
    assert motions.dtype == np.float32
    assert np.isfinite(motions).all()


def test_the_same_seed_gives_the_same_motion_bit_for_bit(
    speech: np.ndarray, speaker: SpeechToMotion, start: np.ndarray
) -> None:
    first, again, other = (speaker.generate(speech, start, SpeechStyle(seed=seed)) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert np.abs(first[:, 64:67] - other[:, 64:67]).max() > 1e-3


def test_motion_leaves_from_the_portrait_and_comes_back_without_a_jump(
    speech: np.ndarray, speaker: SpeechToMotion, start: np.ndarray
) -> None:
    motions = speaker.generate(speech, start, SpeechStyle(seed=2, blink_rate=0))
    np.testing.assert_allclose(motions[0], start, atol=1e-5)
    np.testing.assert_allclose(motions[-1], start, atol=1e-5)
    for part in (slice(0, 64), slice(64, 70)):
        steps = np.abs(np.diff(motions[:, part], axis=0)).mean(axis=1)
        assert max(steps[:3].max(), steps[-3:].max()) < 2 * steps[10:-10].max()


def test_silence_brings_face_and_head_back_to_the_portraits_own(
    speech: np.ndarray, speaker: SpeechToMotion, start: np.ndarray
) -> None:
    motions = speaker.generate(np.zeros(16_000 * 4, np.float32), start, SpeechStyle(seed=3, blink_rate=0))
    assert np.abs(motions - start).max() < 0.01
    pause = np.zeros(16_000 * 6, np.float32)
    moved = np.abs(
        speaker.generate(np.concatenate([speech, pause, speech]), start, SpeechStyle(seed=3, blink_rate=0)) - start
    )
    assert moved[:60, :64].max() > 0.5
    assert np.degrees(moved[:60, 64:67].max()) > 1
    assert moved[100:200, :64].max() < 0.01
    assert np.degrees(moved[140:170, 64:67].max()) < 0.1
    assert moved[240:, :64].max() > 0.5


def test_the_mouth_opens_with_the_sound(speech: np.ndarray, speaker: SpeechToMotion) -> None:
    gradient = opening_gradient(MorphableModel.load()).numpy()
    motions = speaker.generate(speech, np.zeros(70, np.float32), SpeechStyle(seed=0, temperature=0, blink_rate=0))
    energy = log_mel(speech).reshape(-1, 256).mean(dim=1).numpy()
    assert correlation(motions[6:-8, :64] @ gradient, energy[6:-8]) > 0.2


def over_music(sound: np.ndarray) -> np.ndarray:
    """As loud as the voice: chords of plucked strings, two a second."""
    time = np.arange(len(sound)) / 16_000
    notes = np.array([[220.0, 277.2, 329.6], [174.6, 220.0, 261.6]])[(2 * time).astype(int) % 2].T
    harmonics = sum(np.sin(2 * np.pi * number * notes * time).sum(axis=0) / number for number in (1, 2, 3))
    music = harmonics * np.exp(-3 * (time % 0.5))
    return sound + music * sound.std() / music.std()


@pytest.mark.parametrize(
    ("spoil", "agreement"),  # what was measured less some tenths
    [
        (lambda sound: 0.03 * sound, 0.95),
        (lambda sound: np.clip(10 * sound / np.abs(sound).max(), -1, 1), 0.65),
        (lambda sound: sound + 0.3 * sound.std() * np.random.default_rng(0).standard_normal(len(sound)), 0.75),
        (through_a_phone, 0.7),
        (over_music, 0.55),
    ],
    ids=["quiet", "clipped", "noisy", "phone", "music"],
)
def test_lips_hear_through_a_bad_recording(
    spoil: Callable[[np.ndarray], np.ndarray], agreement: float, speaker: SpeechToMotion
) -> None:
    sound = read_sound(ROOT / "service/samples/speech.flac")
    gradient = opening_gradient(MorphableModel.load()).numpy()

    def opening(samples: np.ndarray) -> np.ndarray:
        rest = np.zeros(70, np.float32)
        return (
            speaker.generate(samples.astype(np.float32), rest, SpeechStyle(temperature=0, blink_rate=0))[:, :64]
            @ gradient
        )

    clean, spoilt = opening(sound), opening(spoil(sound))
    assert correlation(spoilt, clean) > agreement
    assert 0.6 < spoilt.std() / clean.std() < 1.4


def test_lips_closed_in_the_portrait_part_to_speak(
    speech: np.ndarray, speaker: SpeechToMotion, extractor: Extractor
) -> None:
    with Image.open(ROOT / "service/samples/portrait.jpg") as photo:
        face = extractor.extract(np.asarray(photo.convert("RGB")))
    assert speaker.controls.lip_gap(face.identity, face.motion) < 0.003
    motions = speaker.generate(speech, face.motion, SpeechStyle(seed=0, blink_rate=0), identity=face.identity)[6:-8]
    gaps = np.array([speaker.controls.lip_gap(face.identity, motion) for motion in motions])
    assert 0.014 < gaps.mean() < 0.06  # people's mean is 0.039; this speech is loud and has no pauses
    assert np.mean(gaps < 0.01) < 0.6  # of the time; 0.3 in people who speak


def test_a_head_held_still_still_speaks_and_blinks(
    speech: np.ndarray, speaker: SpeechToMotion, start: np.ndarray
) -> None:
    moving = speaker.generate(speech, start, SpeechStyle(seed=4))
    still = speaker.generate(speech, start, SpeechStyle(seed=4, still=True))
    assert (still[:, 64:] == start[64:]).all()
    np.testing.assert_array_equal(still[:, :64], moving[:, :64])


def test_a_scale_of_0_leaves_the_face_as_it_is(speech: np.ndarray, speaker: SpeechToMotion) -> None:
    smiling = speaker.controls.apply(np.zeros(80, np.float32), np.zeros(70, np.float32), {"jaw_open": 0.6})
    motions = speaker.generate(speech, smiling, SpeechStyle(expression_scale=0, blink_rate=0, still=True))
    np.testing.assert_allclose(motions, np.tile(smiling, (len(motions), 1)), atol=1e-6)


@pytest.mark.slow
def test_scales_scale_and_blinks_are_counted(speech: np.ndarray, speaker: SpeechToMotion, start: np.ndarray) -> None:
    def spread(**settings: Any) -> tuple[float, float]:
        moved = speaker.generate(speech, start, SpeechStyle(seed=5, blink_rate=0, **settings)) - start
        return float(np.abs(moved[:, :64]).mean()), float(np.abs(moved[:, 64:]).mean())

    (face, head), (large_face, large_head) = spread(), spread(expression_scale=1.5, pose_scale=0.5)
    assert large_face == pytest.approx(1.5 * face, rel=0.01)  # lips that close do so at once
    assert large_head == pytest.approx(0.5 * head, rel=1e-3)
    silence = np.zeros(16_000 * 60, np.float32)
    blinks = [
        np.abs(speaker.generate(silence, start, SpeechStyle(seed=6, blink_rate=rate, still=True)) - start).max(axis=1)
        > 0.5
        for rate in (0, None, 50)
    ]
    onsets = [int((np.diff(shut.astype(int)) == 1).sum()) for shut in blinks]
    assert onsets[0] == 0
    assert 4 <= onsets[1] < onsets[2]


@pytest.mark.slow
def test_a_long_speech_keeps_the_head_near_where_it_began(
    speech: np.ndarray, speaker: SpeechToMotion, start: np.ndarray
) -> None:
    motions = speaker.generate(np.tile(speech, 20), start, SpeechStyle(seed=7, temperature=1.0))
    moved = np.abs(motions[:, 64:] - start[64:])
    assert (moved <= 3 * speaker.network.code.pose_deviation.numpy() + 1e-4).all()
    halves = [np.abs(half.mean(axis=0)) for half in np.split(motions[:1500, 64:67] - start[64:67], 2)]
    assert max(float(half.max()) for half in halves) < np.radians(10)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(640,), (1, 17, 4_000, 70_001), (160_000,)])
def test_how_a_sound_is_cut_changes_no_bit(
    sizes: tuple[int, ...], speech: np.ndarray, speaker: SpeechToMotion, start: np.ndarray
) -> None:
    sound = np.tile(speech, 9)[: 27 * 16_000 - 201]
    ends = list(itertools.takewhile(lambda end: end < len(sound), itertools.accumulate(itertools.cycle(sizes))))
    streamed = list(speaker.stream(np.split(sound, ends), start, SpeechStyle(seed=3, temperature=1.0)))
    assert [len(block) for block in streamed] == [50, 50, 50, 100, 250, 175]
    assert np.array_equal(
        np.concatenate(streamed), speaker.generate(sound, start, SpeechStyle(seed=3, temperature=1.0))
    )


def test_motion_in_blocks_is_motion_in_one_pass(
    speech: np.ndarray, speaker: SpeechToMotion, start: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = np.tile(speech, 6)
    blocks = speaker.generate(sound, start, SpeechStyle(seed=3, temperature=1.0))
    monkeypatch.setattr(features, "block_lengths", lambda frames: [frames])
    (whole,) = speaker.stream([sound], start, SpeechStyle(seed=3, temperature=1.0))
    np.testing.assert_allclose(blocks, whole, atol=1e-4)  # a convolution of another length rounds otherwise


@pytest.mark.slow
def test_no_more_of_a_sound_is_read_than_its_next_motions_need(speaker: SpeechToMotion, start: np.ndarray) -> None:
    read: list[int] = []  # for each time that the sound was gone through, the frames read so far

    class Sound:
        def __iter__(self) -> Iterator[np.ndarray]:
            random = np.random.default_rng(0)
            read.append(0)
            for _ in range(100):
                read[-1] += 25
                yield (0.1 * random.standard_normal(16_000)).astype(np.float32)

    done, ahead = 0, []
    for block in speaker.stream(Sound(), start):
        done += len(block)
        ahead.append(read[-1] - done)
    assert done == 2500
    assert len(read) == 2
    assert max(ahead) <= 5 * BLOCK_FRAMES  # so that memory is the same for a minute and for an hour


def test_sharing_goes_through_once_and_holds_no_more_than_it_must() -> None:
    made: list[weakref.ref[torch.Tensor]] = []

    def items() -> Iterator[torch.Tensor]:
        for number in range(100):
            item = torch.full((1,), float(number))
            made.append(weakref.ref(item))
            yield item

    first, second = shared(items(), 2)
    seen = [(next(first).item(), next(second).item()) for _ in range(50)]
    assert seen == [(number, number) for number in range(50)]
    assert len(made) == 50
    assert sum(item() is not None for item in made) <= 1
    assert [item.item() for item in first] == [item.item() for item in second] == list(range(50, 100))


def test_takes_drawn_together_differ_and_the_coldest_do_not(speech: np.ndarray, speaker: SpeechToMotion) -> None:
    track = sound_track(speaker.network, log_mel(speech))
    warm, _ = sample_codes(speaker.network, track, seed=1, temperature=1.0, takes=3)
    cold, _ = sample_codes(speaker.network, track, seed=1, temperature=0.0, takes=3)
    assert (warm[0] - warm[1]).abs().max() > 0.1
    torch.testing.assert_close(cold[0], cold[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"samples": np.zeros((2, 9), np.float32)}, AudioError, r"shape \(2, 9\)"),
        ({"samples": np.array([np.inf], np.float32)}, AudioError, "1 samples that are NaN"),
        ({"start": np.zeros(73, np.float32)}, MotionSpaceError, r"shape \(73,\)"),
        ({"start": np.full(70, np.nan, np.float32)}, MotionSpaceError, "70 non-finite"),
        ({"identity": np.zeros(3, np.float32)}, MotionSpaceError, "identity of shape"),
        ({"temperature": -1.0}, ControlError, "temperature is -1.0"),
        ({"blink_rate": float("nan")}, ControlError, "blink_rate is nan"),
    ],
)
def test_bad_arguments_are_refused_with_what_was_got(
    change: dict[str, Any], error: type[Exception], message: str, speech: np.ndarray, speaker: SpeechToMotion
) -> None:
    arguments: dict[str, Any] = {"samples": speech, "start": np.zeros(70, np.float32)} | change
    sound, start, identity = (arguments.pop(name, None) for name in ("samples", "start", "identity"))
    with pytest.raises(error, match=message):
        speaker.generate(sound, start, SpeechStyle(**arguments), identity=identity)


def test_presence_bridges_short_pauses_and_sees_long_ones() -> None:
    def presence(pause: int) -> list[torch.Tensor]:
        sound = np.concatenate([loud, np.zeros(640 * pause, np.float32), loud])
        (blocks,) = presence_blocks([log_mel(sound)])
        return list(blocks)

    loud = vowels(2)
    assert presence(6)[0][10:-10].min() > 0.9
    (face, head), (long_face, long_head) = presence(30), presence(120)
    assert face[65].item() < 0.05
    assert head[10:-10].min() > 0.9  # the head does not rest between sentences
    assert long_face[110].item() < 0.05
    assert long_head[110].item() < 0.05
    assert long_head[10].item() > 0.95


def test_ramp_is_smooth_and_whole() -> None:
    rising = ramp(torch.arange(20), 8)
    assert rising[0] == 0
    assert (rising[8:] == 1).all()
    assert (rising.diff() >= 0).all()


def test_lags_and_likelihoods_are_measured_rightly() -> None:
    truth = np.random.default_rng(0).standard_normal(200).astype(np.float32)
    assert correlation(truth, 3 * truth + 1) == pytest.approx(1)
    curve = lag_curve(np.roll(truth, 2), truth)
    assert int(curve.argmax()) - MOST_LAG == 2
    assert curve.max() == pytest.approx(1)
    assert np.abs(np.delete(curve, MOST_LAG + 2)).max() < 0.3
    white = torch.randn(50_000, 2, generator=torch.Generator().manual_seed(0))
    assert gaussian_nll([white]) == pytest.approx(2 * 0.5 * np.log(2 * np.pi * np.e), abs=0.02)
