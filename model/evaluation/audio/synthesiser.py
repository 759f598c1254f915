"""Made speech whose sounds are known to the sample: eSpeak NG through its library, with the events of its phonemes.

The interface is that of espeak-ng's speak_lib.h, of which only what is needed is declared.
"""

import ctypes
import functools
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from model.arrays import Floats
from model.audio.features import SAMPLE_RATE
from model.errors import DataError

LIBRARY = "libespeak-ng.so.1"
SYNCHRONOUS, PHONEME_EVENTS, DONT_EXIT = 2, 0x0001, 0x8000
END, PHONEME = 0, 7  # types of events
UTF8 = 1
RATE = 1  # a parameter: words a minute
SLOWEST, USUAL, FASTEST = 80, 175, 450  # the range that speak_lib.h gives, and its usual


@functools.cache
def _library() -> tuple[ctypes.CDLL, int]:
    """The library and its rate in Hz. It can be set up once a process: after espeak_Terminate it hangs."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise DataError(f"{LIBRARY} is not installed (the package espeak-ng has it); closures need it") from error
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, None, PHONEME_EVENTS | DONT_EXIT)
    if rate <= 0:
        raise DataError(f"{LIBRARY} cannot be set up: espeak_Initialize gave {rate}")
    return library, rate


@dataclass(frozen=True)
class Phoneme:
    """A sound by eSpeak's name for it, and when it is spoken, in seconds."""

    name: str
    start: float
    end: float


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


_Heard = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def synthesise(text: str, *, voice: str = "en", words_per_minute: int = USUAL) -> tuple[Floats, list[Phoneme]]:
    """Speech (N,), mono at 16 kHz, and its phonemes. A `voice` is a language, or one and a variant, which is left out
    where eSpeak NG has no such variant: "en-us+f3".

    Raises DataError: eSpeak NG is not installed, has no such voice, or does not speak at that speed.
    """
    library, rate = _library()
    if library.espeak_SetVoiceByName(voice.encode()):
        raise DataError(f"{LIBRARY} cannot speak with the voice {voice!r}")
    if not SLOWEST <= words_per_minute <= FASTEST:
        raise DataError(f"{words_per_minute} words a minute; {SLOWEST} to {FASTEST} are allowed")
    library.espeak_SetParameter(RATE, words_per_minute, 0)  # stays as it was for the speech before
    pieces: list[NDArray[np.int16]] = []
    starts: list[tuple[str, float]] = []

    # in quotes: the class of pointers takes no parameters when the program runs
    def heard(samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[_Event]") -> int:
        if samples and count:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        number = 0
        while events[number].type != END:
            if events[number].type == PHONEME:
                starts.append((events[number].name.decode(), events[number].sample / rate))
            number += 1
        return 0

    callback = _Heard(heard)
    library.espeak_SetSynthCallback(callback)
    data = text.encode()
    library.espeak_Synth(data, len(data) + 1, 0, 1, 0, UTF8, None, None)
    speech = np.concatenate(pieces).astype(np.float32) / 2**15
    ends = [start for _, start in starts[1:]] + [len(speech) / rate]
    phonemes = [Phoneme(name, start, end) for (name, start), end in zip(starts, ends, strict=True)]
    return soxr.resample(speech, rate, SAMPLE_RATE), phonemes
