"""Made speech says when its sounds are spoken, known sentences are found in recordings, and closures are counted."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from model.audio import SpeechToMotion
from model.audio.features import log_mel
from model.errors import DataError
from model.evaluation.audio.alignment import aligned, warping_path
from model.evaluation.audio.closures import CLOSURE, LOWER_LIP, Closures, rank, sentence_closures, sound_frames
from model.evaluation.audio.sentences import grid_sentence, spelled_sentences
from model.evaluation.audio.synchrony import opening_gradient
from model.evaluation.audio.synthesiser import Phoneme, synthesise
from model.morphable import MorphableModel
from tests.support.speech_needs import needs_espeak


@needs_espeak
def test_sounds_come_in_order_and_fill_the_speech() -> None:
    speech, phonemes = synthesise("Mama, papa.", voice="en-us")
    names = [phoneme.name for phoneme in phonemes]
    assert [name for name in names if name in ("m", "p")] == ["m", "m", "p", "p"]
    assert phonemes[-1].end == pytest.approx(len(speech) / 16000, abs=0.01)
    assert all(before.end == after.start for before, after in pairwise(phonemes))
    again, _ = synthesise("Mama, papa.", voice="en-us")
    assert len(again) == pytest.approx(len(speech), rel=0.01)


@needs_espeak
def test_an_unknown_voice_is_named() -> None:
    with pytest.raises(DataError, match="cannot speak with the voice 'nobody'"):
        synthesise("Mama.", voice="nobody")


@needs_espeak
def test_speed_and_variant_of_a_voice_count_for_the_speech_that_asks_for_them() -> None:
    slow, _ = synthesise("Mama, papa.", voice="en-us", words_per_minute=120)
    usual, _ = synthesise("Mama, papa.", voice="en-us")
    woman, _ = synthesise("Mama, papa.", voice="en-us+f3")
    assert len(slow) > 1.3 * len(usual)
    assert (log_mel(woman, frames=40) - log_mel(usual, frames=40)).abs().mean() > 0.1
    with pytest.raises(DataError, match="20 words a minute; 80 to 450 are allowed"):
        synthesise("Mama.", voice="en-us", words_per_minute=20)


@needs_espeak
@pytest.mark.parametrize(("voice", "speed"), [("en+f3", 120), ("en+m3", 220)])
def test_sounds_are_found_where_another_voice_speaks_them_at_another_speed(voice: str, speed: int) -> None:
    sentence = "place blue by v five please"
    speech, phonemes = synthesise(sentence, voice=voice, words_per_minute=speed)
    pause = 8000
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(speech) + 2 * pause)
    found = aligned(log_mel((np.pad(speech, pause) + noise).astype(np.float32)), sentence)
    assert [phoneme.name for phoneme in found] == [phoneme.name for phoneme in phonemes]
    late = [own.end - pause / 16000 - true.end for own, true in zip(found, phonemes, strict=True)][:-2]
    assert np.median(np.abs(late)) < 0.02
    assert np.max(np.abs(late)) < 0.1


def test_a_path_leads_each_frame_to_its_own() -> None:
    a = np.random.default_rng(0).standard_normal((6, 4))
    stretch = [0, 0, 0, 1, 2, 3, 3, 4, 5, 5]
    assert warping_path(a, a[stretch]).tolist() == [[frame, number] for number, frame in enumerate(stretch)]
    assert warping_path(a[stretch], a).tolist() == [[number, frame] for number, frame in enumerate(stretch)]


def test_names_of_grid_spell_their_sentences() -> None:
    assert grid_sentence("videos/s1/bbaf2n.mpg") == "bin blue at f two now"
    assert grid_sentence("samples/id2_vcd_swwp2s.mpg") == "set white with p two soon"
    assert grid_sentence("lrwaza.mpg") == "lay red with eh zero again"


@pytest.mark.parametrize(
    "path", ["", "bbaf2.mpg", "bbaw2n.mpg", "xbaf2n.mpg", "bbaf0n.mpg", "xbbaf2n.mpg", "07165.mp4"]
)
def test_other_names_spell_none(path: str) -> None:
    assert grid_sentence(path) is None


def test_a_folder_without_sentences_has_no_figures_of_them(speech_corpus: Path) -> None:
    assert spelled_sentences([speech_corpus], "val") == {}
    assert "not_measured" in sentence_closures(SpeechToMotion.load(), [], [], {})


def test_lips_that_close_in_time_are_told_from_those_that_do_not() -> None:
    model = MorphableModel.load()
    phonemes = [
        Phoneme("_", 0.0, 0.4),
        Phoneme("a", 0.4, 0.8),
        Phoneme("m", 0.8, 0.88),
        Phoneme("a", 0.88, 1.6),
        Phoneme("v", 1.6, 1.68),
        Phoneme("a", 1.68, 2.4),
    ]
    opening, lower_lip = opening_gradient(model), model.expression_basis @ LOWER_LIP.vector()
    height = torch.ones(60, 2)
    height[:10] = -2  # rests closed in silence, which must not count
    height[21, 0], height[41, 1] = 0, 0
    moves = torch.linalg.pinv(torch.stack([opening, lower_lip]))  # (64, 2)
    in_time, late = Closures(model), Closures(model)
    in_time.add(height @ moves.T, phonemes)
    late.add(height.roll(8, 0) @ moves.T, phonemes)
    for place, share in (("bilabial", "closed_share"), ("labiodental", "touched_share")):
        row = in_time.figures()
        assert row[f"{place}_sounds"] == 1
        assert row[f"{place}_rank"] == 0
        assert row[f"{place}_{share}"] == 1
        assert late.figures()[f"{place}_rank"] > 0


def test_sounds_that_are_not_spoken_have_no_figures() -> None:
    closures = Closures(MorphableModel.load())
    closures.add(torch.zeros(20, 64), [Phoneme("b", 0.2, 0.3), Phoneme("a", 0.3, 0.8)])
    assert set(closures.figures()) == {
        f"bilabial_{name}" for name in ("sounds", "rank", "rank_elsewhere", "closed_share", "closed_share_elsewhere")
    }


def test_lips_are_shut_before_the_burst_of_a_plosive() -> None:
    assert sound_frames(Phoneme("m", 0.8, 0.88)) == (19, 24)
    assert sound_frames(Phoneme("m:", 0.8, 0.88)) == (19, 24)
    assert sound_frames(Phoneme("p", 0.81, 0.9)) == (int(25 * (0.81 - CLOSURE)) - 1, 22)


def test_a_rank_is_the_share_of_spoken_frames_more_closed() -> None:
    opening, spoken = np.array([3, 1, 2, 5, 4], np.float32), np.ones(5, bool)
    assert rank(opening, spoken, 1, 2) == 0
    assert rank(opening, spoken, 0, 1) == pytest.approx(0.4)
    assert rank(opening, spoken, 2, 5) == pytest.approx(0.2)
    assert rank(opening, spoken, -1, 1) == pytest.approx(0.4)
    assert rank(opening, np.arange(5) != 1, 0, 1) == pytest.approx(0.25)
