from dataclasses import replace

import pytest
import torch

from model.audio.config import AudioConfig, NetworkConfig
from model.audio.features import MELS, SAMPLES_PER_FRAME, log_mel
from model.audio.network import SpeechNetwork
from model.evaluation.audio.synthesiser import Phoneme, synthesise
from model.training.audio import closures
from model.training.audio.closures import clip_lessons, closures_of, made_lessons, train_closures
from tests.support.speech_corpus import silent_clip
from tests.support.speech_needs import needs_espeak


def test_lips_are_shut_before_the_burst_of_a_plosive_and_while_an_m_or_f_sounds() -> None:
    phonemes = [Phoneme("a", 0.0, 0.4), Phoneme("p", 0.4, 0.5), Phoneme("m:", 0.8, 1.0), Phoneme("f", 1.2, 1.32)]
    lips, lower_lip = closures_of(phonemes, 40).unbind(dim=1)
    assert lips[8:11].argmax() == 1  # the frame from 0.36 to 0.4 s
    assert lips[11:20].max() == 0
    assert lips[20:25].min() == 1
    assert lower_lip[30:33].min() == 1
    assert lower_lip[:30].max() == lower_lip[34:].max() == lips[26:].max() == 0


def test_of_a_clip_is_known_what_is_said_or_when_its_lips_are_most_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closures, "aligned", lambda mel, sentence: [Phoneme(sentence, 0.4, 0.48)])
    gradient = torch.zeros(64)
    gradient[0] = 1.0
    said, seen = replace(silent_clip(20), id="said"), replace(silent_clip(20), id="seen", mel=torch.zeros(80, MELS))
    seen.mel[4 * 5 : 4 * 15] = 0.5  # loud in frames 5 to 14
    seen.motion[:, 0] = torch.linspace(1, 2, 20)
    seen.motion[8, 0] = 0.0
    (samples, spoken, all_known), (_, closed, known) = clip_lessons([said, seen], {"said": "m"}, gradient)
    assert len(samples) == SAMPLES_PER_FRAME * 20
    assert torch.nonzero(spoken[:, 0]).flatten().tolist() == [10, 11]
    assert all_known.min() == 1
    assert torch.nonzero(known[:, 0]).flatten().tolist() == list(range(5, 15))
    assert known[:, 1].max() == 0
    assert torch.nonzero(closed[5:15, 0]).flatten().tolist() == [3]


@needs_espeak
def test_made_lessons_say_the_same_for_a_seed_in_many_voices() -> None:
    lessons, again = made_lessons(6, 3), made_lessons(6, 3)
    for (samples, target, known), (_, same, _) in zip(lessons, again, strict=True):
        assert len(samples) == SAMPLES_PER_FRAME * len(target)
        assert abs(len(target) - len(same)) <= 1  # eSpeak NG does not give the same samples twice
        assert known.min() == 1
        assert 0 < target.mean() < 0.4
    assert len({float(samples.abs().mean()) for samples, _, _ in lessons}) == 6


@pytest.mark.slow
@needs_espeak
def test_closures_are_heard_in_a_voice_that_was_not_learned() -> None:
    torch.manual_seed(0)
    network = SpeechNetwork(NetworkConfig(members=2, member_channels=8, member_blocks=1, closure_channels=32))
    speech, phonemes = synthesise("A baby may help you with some paper, but do not rush.", voice="en-us+f3")
    mel = log_mel(speech)[None]
    assert torch.sigmoid(network.closures(mel)).max() < 1e-4  # before it is trained, none
    config = AudioConfig(made_speeches=30, closure_steps=150, closure_batch=6)
    train_closures(network, [silent_clip()], {}, config)
    heard = torch.sigmoid(network.closures(mel))[0, :, 0].detach()
    spoken = closures_of(phonemes, len(heard))[:, 0] > 0
    assert heard[spoken].mean() > 2 * heard[~spoken].mean()
