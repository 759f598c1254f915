from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model.audio.clip import SpeechClip, balanced
from model.audio.config import AudioConfig, NetworkConfig
from model.audio.features import MELS, SAMPLES_PER_FRAME, SUBFRAMES
from model.training.audio import lessons
from model.training.audio.lessons import Lessons
from tests.support.speech_corpus import silent_clip

CONFIG = AudioConfig(
    network=NetworkConfig(components=6), speeds=(1.0, 0.8), voices=(("a", 100), ("b", 200)), augmented_share=0,
    regressor_total=80, regressor_frames=20, short_frames=8,
)  # fmt: skip


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> tuple[list[SpeechClip], Lessons]:
    """Three clips of 40 frames, each of a fold of its number; the second's sentence is known, and said in 10 frames."""

    def respoken(clip: SpeechClip, code: Tensor, sentence: str, **_: object) -> tuple[Tensor, Tensor]:
        assert sentence == "yes"
        return clip.samples[: SAMPLES_PER_FRAME * 10], code[:10]

    monkeypatch.setattr(lessons, "respoken", respoken)
    clips = [replace(silent_clip(40, person=f"p{number}"), id=str(number)) for number in range(3)]
    codes = [torch.full((40, 12), float(number)) for number in range(3)]
    return clips, Lessons.of(clips, codes, [0, 1, 2], {"1": "yes"}, CONFIG)


def test_every_lesson_has_the_fold_and_the_code_of_its_person(taught: tuple[list[SpeechClip], Lessons]) -> None:
    _, lesson = taught
    assert lesson.folds == [1, 1, 0, 1, 2, 0, 1, 2]
    assert [float(code.mean()) for code in lesson.codes] == [float(fold) for fold in lesson.folds]
    assert [len(code) for code in lesson.codes] == [10, 10, 40, 40, 40, 50, 50, 50]
    assert all(len(s) == SAMPLES_PER_FRAME * len(c) for s, c in zip(lesson.samples, lesson.codes, strict=True))


def test_made_voices_are_heard_half_as_often_as_a_clip_itself(taught: tuple[list[SpeechClip], Lessons]) -> None:
    clips, lesson = taught
    own = balanced(clips)
    torch.testing.assert_close(lesson.weights[2:], torch.cat([own, own]))
    assert float(lesson.weights[:2].sum()) == pytest.approx(0.5 * 2 * float(own[1]))


def test_a_batch_has_the_mel_of_its_windows_with_a_margin(taught: tuple[list[SpeechClip], Lessons]) -> None:
    _, lesson = taught
    torch.manual_seed(0)
    windows, mel, codes, inside = lesson.batch(CONFIG, margin=3)
    assert mel.shape == (len(windows.clips), SUBFRAMES * (windows.frames + 6), MELS)
    assert codes.shape == (len(windows.clips), windows.frames, 6)
    assert inside.shape == codes.shape[:2]
