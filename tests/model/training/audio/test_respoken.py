from dataclasses import replace

import numpy as np
import torch

from model.audio.features import SAMPLES_PER_FRAME, log_mel
from model.evaluation.audio.synthesiser import Phoneme, synthesise
from model.training.audio.respoken import respoken
from tests.support.speech_corpus import silent_clip
from tests.support.speech_needs import needs_espeak

SENTENCE = "bin blue at f two now"


@needs_espeak
def test_lips_come_at_the_times_of_the_voice_that_says_the_sentence_again() -> None:
    speech, phonemes = synthesise(SENTENCE, voice="en-gb-scotland", words_per_minute=140)
    mel = log_mel(speech)
    frames = len(mel) // 4
    code = torch.stack([pulse(frames, phonemes, name) for name in ("b", "l", "aU")], dim=1)
    clip = replace(silent_clip(frames), mel=mel)
    samples, moved = respoken(clip, code, SENTENCE, voice="en-us+f1", words_per_minute=210)
    again, spoken = synthesise(SENTENCE, voice="en-us+f1", words_per_minute=210)
    assert len(samples) == SAMPLES_PER_FRAME * len(moved)
    assert abs(len(samples) - len(again)) <= SAMPLES_PER_FRAME
    for column, name in enumerate(("b", "l", "aU")):
        expected = pulse(len(moved), spoken, name)
        assert abs(centre(moved[:, column]) - centre(expected)) < 1.5, name  # frames


def pulse(frames: int, phonemes: list[Phoneme], name: str) -> torch.Tensor:
    """A bell (T,) at the first sound of that name."""
    phoneme = next(phoneme for phoneme in phonemes if phoneme.name.rstrip(":") == name)
    middle = (phoneme.start + phoneme.end) / 2 * 25
    return torch.from_numpy(np.exp(-0.5 * ((np.arange(frames) + 0.5 - middle) / 1.5) ** 2)).float()


def centre(track: torch.Tensor) -> float:
    """The mean place of a track's (T,) mass."""
    return float((track * torch.arange(len(track))).sum() / track.sum())
