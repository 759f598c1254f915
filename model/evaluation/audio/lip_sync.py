"""What the judge of lip synchrony says: of real clips, by which it is judged itself, and of what was made of sounds."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from model.audio.clip import SpeechClip
from model.audio.features import SUBFRAMES
from model.audio.network import SpeechNetwork
from model.errors import DataError
from model.evaluation.audio.judge import Agreement, Judge
from model.evaluation.audio.likelihood import LONG_SECONDS, OTHERS
from model.evaluation.audio.synchrony import Made, Row
from model.morphable.basis import EXPRESSION, MOTION_FPS

CLOSE = 1  # frames: an offset up to this is none
SHORT, LONG = 1.0, LONG_SECONDS  # seconds of clips that are counted apart: the longer, the more there is to hear


def judge_rows(judge: Judge, network: SpeechNetwork, clips: Sequence[SpeechClip], made: Sequence[Made]) -> list[Row]:
    """Of each clip whether its sound is found within a frame, how far off it is found, and with what confidence.

    Compared are the sound and the real lips, those of takes, those of the regressor, and, under `shuffled`, real lips
    and another person's sound. Made lips may be found more surely than real ones, since they do little but what the
    sound tells; more than real is not more lifelike.
    """
    decoder = network.code.decoder
    rows: list[Row] = []
    for clip, one, other in zip(clips, made, other_sounds(clips), strict=True):
        real = clip.motion[None, :, EXPRESSION]
        shared = min(clip.frames, clips[other[0]].frames)
        found = {
            "real": judge(clip.mel, real),
            "take": judge(clip.mel, one.takes @ decoder),
            "regressor": judge(clip.mel, one.regressor[None] @ decoder),
            "shuffled": judge(clips[other[0]].mel[: SUBFRAMES * shared], real[:, :shared]),
        }
        rows.append(
            {
                "judge_in_sync_share": {name: _in_sync(agreement) for name, agreement in found.items()},
                "judge_offset_frames": {
                    name: float(agreement.offset.abs().float().mean()) for name, agreement in found.items()
                },
                "judge_confidence": {name: float(agreement.confidence.mean()) for name, agreement in found.items()},
            }
        )
    return rows


def accuracy_figures(judge: Judge, clips: Sequence[SpeechClip]) -> dict[str, float | dict[str, float]]:
    """What the judge itself is worth, on real clips of SHORT seconds and more: in all and by source.

    `found` is the share of clips whose sound is found within a frame of where it is, among the offsets that the clip is
    long enough for; `found_by_chance` that of guesses. `own_sound` is the share of pairs of a clip's sound and another
    person's, of the same source where it has several, of which its own is more like its lips.
    """
    chosen = [clip for clip in clips if clip.frames >= SHORT * MOTION_FPS]
    if not chosen:
        raise DataError(f"none of {len(clips)} clips lasts {SHORT} s or more; the judge needs some that do")
    rows = []
    for clip, others in zip(chosen, other_sounds(chosen), strict=True):
        real = judge(clip.mel, clip.motion[None, :, EXPRESSION])
        tries = [_against(judge, clip, chosen[other]) for other in others]
        offsets = int(real.similarity.isfinite().sum())
        rows.append(
            {
                "found": _in_sync(real),
                "found_by_chance": min(1.0, (2 * CLOSE + 1) / offsets),
                "own_sound": float(np.mean([right for right, _ in tries])),
                "offset_frames_real": float(real.offset.abs()),
                "offset_frames_shuffled": float(np.mean([float(false.offset.abs()) for _, false in tries])),
                "confidence_real": float(real.confidence),
                "confidence_shuffled": float(np.mean([float(false.confidence) for _, false in tries])),
            }
        )
    long = [clip.frames >= LONG * MOTION_FPS for clip in chosen]
    found: dict[str, float | dict[str, float]] = {}
    for source in ["all", *sorted({clip.source for clip in chosen})]:
        ours = [source in ("all", clip.source) for clip in chosen]
        for seconds, enough in ((SHORT, [True] * len(chosen)), (LONG, long)):
            several = [row for row, own, wanted in zip(rows, ours, enough, strict=True) if own and wanted]
            if several:
                found[f"{source}, {seconds:g} s or more"] = {
                    "clips": float(len(several)),
                    **{name: float(np.mean([row[name] for row in several])) for name in several[0]},
                }
    return found


def _against(judge: Judge, clip: SpeechClip, other: SpeechClip) -> tuple[bool, Agreement]:
    """Whether its own sound is more like a clip's lips than another's, as long as both last; what is said of that."""
    shared = min(clip.frames, other.frames)
    lips = clip.motion[None, :shared, EXPRESSION]
    true, false = (judge(mel[: SUBFRAMES * shared], lips) for mel in (clip.mel, other.mel))
    return bool(true.at_zero > false.at_zero), false


def _in_sync(agreement: Agreement) -> float:
    near: Tensor = agreement.offset.abs() <= CLOSE
    return float(near.float().mean())


def other_sounds(clips: Sequence[SpeechClip]) -> list[list[int]]:
    """For each clip the numbers of up to OTHERS that are of another person, those first that are as long as it.

    They are of its own source where that has another person: a voice is not to be told by its microphone. Of equals
    those count that follow it, in a circle.
    Raises DataError where there is one person only.
    """
    if len({clip.person for clip in clips}) < 2:
        raise DataError(f"all {len(clips)} clips are of {clips[0].person!r}; two people or more are needed")
    found = []
    for number, clip in enumerate(clips):
        circle = [*range(number + 1, len(clips)), *range(number)]
        strangers = [other for other in circle if clips[other].person != clip.person]
        alike = [other for other in strangers if clips[other].source == clip.source]
        found.append(sorted(alike or strangers, key=lambda other: -min(clips[other].frames, clip.frames))[:OTHERS])
    return found
