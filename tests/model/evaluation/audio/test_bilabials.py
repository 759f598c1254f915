"""Made speech says when its sounds are spoken, and how open a mouth is among its own frames."""

import ctypes.util
from itertools import pairwise

import numpy as np
import pytest

from model.errors import DataError
from model.evaluation.audio.bilabials import rank
from model.evaluation.audio.synthesiser import synthesise

needs_espeak = pytest.mark.skipif(ctypes.util.find_library("espeak-ng") is None, reason="eSpeak NG is not installed")


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


def test_a_rank_is_the_share_of_frames_more_closed() -> None:
    opening = np.array([3, 1, 2, 5, 4], np.float32)
    assert rank(opening, 1, 2) == 0
    assert rank(opening, 0, 1) == pytest.approx(0.4)
    assert rank(opening, 2, 5) == pytest.approx(0.2)
    assert rank(opening, -1, 1) == pytest.approx(0.4)
