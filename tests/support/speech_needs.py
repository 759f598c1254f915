"""What tests of speech need that may be missing."""

import ctypes

import pytest

from model.evaluation.audio.synthesiser import LIBRARY


def _there() -> bool:
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


needs_espeak = pytest.mark.skipif(not _there(), reason="eSpeak NG is not installed")
