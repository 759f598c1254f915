"""Known sentences said again by made voices, with the lips of the people who said them.

A speaker's sound tells lips and voice at once. The same lips under voices of any kind teach what of the sound the lips
follow; and made voices are what many films are spoken with.
"""

import numpy as np
import torch
from torch import Tensor

from model.audio.clip import SpeechClip
from model.audio.features import SAMPLES_PER_FRAME, SUBFRAMES, level, log_mel
from model.data.speech_windows import cut
from model.evaluation.audio.alignment import recorded_times
from model.evaluation.audio.synthesiser import synthesise
from model.morphable.basis import MOTION_FPS


def respoken(
    clip: SpeechClip, code: Tensor, sentence: str, *, voice: str, words_per_minute: int
) -> tuple[Tensor, Tensor]:
    """A clip's sentence by another voice, samples (640 T,), and the clip's code (T', E) moved to its times: (T, E).

    Raises DataError: eSpeak NG is not installed, or has no such voice.
    """
    speech, _ = synthesise(sentence, voice=voice, words_per_minute=words_per_minute)
    mel = log_mel(speech)
    frames = len(mel) // SUBFRAMES
    centres = (np.arange(frames) + 0.5) / MOTION_FPS
    places = torch.from_numpy(recorded_times(mel, clip.mel, centres) * MOTION_FPS - 0.5).clamp(0, len(code) - 1)
    lower = places.long().clamp(max=max(0, len(code) - 2))
    share = (places - lower)[:, None].float()
    moved = code[lower] * (1 - share) + code[(lower + 1).clamp(max=len(code) - 1)] * share
    samples = torch.from_numpy(speech * np.float32(level([speech]).gain))
    return cut(samples, 0, SAMPLES_PER_FRAME * frames), moved
