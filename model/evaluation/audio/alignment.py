"""When the sounds of a known sentence are spoken in a recording: forced alignment by synthesis.

eSpeak NG speaks the same sentence, and both are brought together by dynamic time warping (Sakoe and Chiba 1978), so
that each of its phonemes, whose times are known, gets its time in the recording. It hears the language of the text, not
the speaker: log-mel less its mean over what is loud, so that channel and timbre count little, and its change in time.
"""

import numpy as np
from torch import Tensor

from model.arrays import Doubles, Integers
from model.audio.features import HOP, SAMPLE_RATE, log_mel
from model.evaluation.audio.synthesiser import Phoneme, synthesise

VOICE = "en"
SILENCE = 10  # frames of 10 ms before and after the made speech: what is before and after the sentence goes there
LOUD = 0.2  # of the loudest: frames over it are speech, and the mean is theirs
CHANGE_REACH, CHANGE_WEIGHT = 2, 0.5
# What of a sound is silent, as the closure of a p is, may match any silence before it: a sound is no longer than this.
STOPS, LONGEST = ("p", "b", "t", "d", "k", "g"), 0.16  # seconds

SECONDS_PER_FRAME = HOP / SAMPLE_RATE


def aligned(mel: Tensor, sentence: str) -> list[Phoneme]:
    """The phonemes of an English sentence at their times in a recording, of its log-mel (4 T, MELS).

    Raises DataError: eSpeak NG is not installed.
    """
    speech, phonemes = synthesise(sentence, voice=VOICE)
    borders = np.array([time for phoneme in phonemes for time in (phoneme.start, phoneme.end)])
    times = recorded_times(log_mel(speech), mel, borders).reshape(-1, 2).tolist()
    return [
        Phoneme(phoneme.name, max(start, end - LONGEST) if phoneme.name in STOPS else start, end)
        for phoneme, (start, end) in zip(phonemes, times, strict=True)
    ]


def recorded_times(made: Tensor, recorded: Tensor, times: Doubles) -> Doubles:
    """Where in a recording the times (N,) of made speech lie, in seconds: log-mel (4 T, MELS) of both."""
    padded = np.pad(made.double().numpy(), ((SILENCE, SILENCE), (0, 0)))
    ours, theirs = warping_path(sound_features(padded), sound_features(recorded.double().numpy())).T
    matched = np.bincount(ours, theirs) / np.bincount(ours)  # the mean place that each made frame goes to
    centres = (np.arange(len(padded)) - SILENCE + 0.5) * SECONDS_PER_FRAME
    return np.asarray((np.interp(times, centres, matched) + 0.5) * SECONDS_PER_FRAME)


def sound_features(mel: Doubles) -> Doubles:
    """What is compared of two sounds (T, 2 MELS), of log-mel (T, MELS): it less its mean, and how it changes."""
    loudness = mel.mean(axis=1)
    centred = mel - mel[loudness >= LOUD * loudness.max()].mean(axis=0)
    padded = np.pad(centred, ((CHANGE_REACH, CHANGE_REACH), (0, 0)), mode="edge")
    shifted = np.lib.stride_tricks.sliding_window_view(padded, 2 * CHANGE_REACH + 1, axis=0)
    change = shifted @ np.arange(-CHANGE_REACH, CHANGE_REACH + 1.0)  # proportional to the slope of a line through them
    scale = centred.std() / max(float(change.std()), 1e-9)
    return np.concatenate([centred, CHANGE_WEIGHT * scale * change], axis=1)


def warping_path(a: Doubles, b: Doubles) -> Integers:
    """Pairs (L, 2) of frames of a (N, D) and b (M, D) that belong together: both go on by one frame or none a step.

    The sum of Euclidean distances over the pairs is least, from the first frames of both to their last.
    """
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    distances = np.sqrt(np.maximum(squares, 0))
    rows, columns = distances.shape
    total = np.full((rows + 1, columns + 1), np.inf)  # least sums, with a border before the first frames
    total[0, 0] = 0
    step = np.zeros((rows, columns), np.int64)  # 0: both went on, 1: a alone, 2: b alone
    for diagonal in range(rows + columns - 1):  # the cells of one do not hang on each other
        row = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        column = diagonal - row
        before = np.stack([total[row, column], total[row, column + 1], total[row + 1, column]])
        step[row, column] = before.argmin(axis=0)
        total[row + 1, column + 1] = before.min(axis=0) + distances[row, column]
    i, j = rows - 1, columns - 1
    path = [(i, j)]
    while i or j:
        came = step[i, j]
        i, j = i - (came != 2), j - (came != 1)
        path.append((i, j))
    return np.array(path[::-1])
