"""How well speech-to-motion does on people it never saw: likelihood, lips, and whether it moves like a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from torch import Tensor

from model.audio.clip import SpeechClip
from model.audio.hearing import sound_track
from model.audio.network import SpeechNetwork
from model.audio.sampling import sample_codes
from model.audio.speech_to_motion import SpeechToMotion
from model.data.speech_clips import in_sync, read_clips
from model.evaluation.audio.closures import closure_figures, sentence_closures
from model.evaluation.audio.judge import Judge
from model.evaluation.audio.likelihood import Likelihoods, gaussian_figures
from model.evaluation.audio.lip_sync import judge_rows
from model.evaluation.audio.movement import movement_figures
from model.evaluation.audio.sentences import spelled_sentences
from model.evaluation.audio.sheet import draw_sheet
from model.evaluation.audio.synchrony import BY_LAG, Made, best_lags, diversity_figures, lip_figures, mean_rows
from model.morphable import MorphableModel
from model.morphable.basis import MOTION_FPS

TAKES, TEMPERATURE = 16, 0.7
STUDIO = ("GRID", "LRW-AR")  # sources of speech folders that are read sentences and single words
WILD = "wild"  # the group of all others of speech folders
BY_SOURCE = "by_source"

Figures: TypeAlias = Mapping[str, "float | str | Figures"]


@dataclass(frozen=True)
class Judged:
    """The clips that count, their sound tracks (T, S), and what was made of them."""

    clips: list[SpeechClip]
    tracks: list[Tensor]
    made: list[Made]


def judged(network: SpeechNetwork, clips: Sequence[SpeechClip]) -> Judged:
    """Draw TAKES takes for every clip in sync."""
    chosen = in_sync(clips)
    tracks = [sound_track(network, clip.mel) for clip in chosen]
    made = []
    for number, (clip, track) in enumerate(zip(chosen, tracks, strict=True)):
        takes, pose = sample_codes(network, track, seed=number, temperature=TEMPERATURE, takes=TAKES)
        style = network.code.style(network.code.raw_expression(clip))
        expected = track[:, : network.config.components]
        made.append(Made(style * takes, pose * network.code.pose_deviation, style * expected))
    return Judged(chosen, tracks, made)


def evaluate(network: SpeechNetwork, clips: Sequence[SpeechClip]) -> Figures:
    """All figures of a network on held-out clips; those with several columns are tables of one row."""
    return figures(network, judged(network, clips))


def figures(network: SpeechNetwork, found: Judged) -> Figures:
    """All figures of what was made of held-out clips, and under `by_source` those of each of `groups`.

    All are means over clips, a short one counting as much as a long one, but where they are said to be over frames.
    """
    model = MorphableModel.load()
    rows = [
        {
            **lip_figures(network, model, clip, made),
            **diversity_figures(network, model, made),
            **movement_figures(network, model, clip, made, seed=number),
            **judged_sync,
        }
        for number, (clip, made, judged_sync) in enumerate(
            zip(found.clips, found.made, judge_rows(Judge.load(), network, found.clips, found.made), strict=True)
        )
    ]
    likelihoods = Likelihoods.of(network, found.clips, found.tracks)

    def tables(numbers: Sequence[int]) -> dict[str, dict[str, float]]:
        of_lips = mean_rows([rows[number] for number in numbers])
        frames_a_clip = float(np.mean([found.clips[number].frames for number in numbers]))
        of_lips["opening_best_lag_frames"] = best_lags(of_lips)
        of_lips["blinks_per_minute"] = {
            name: count / frames_a_clip * MOTION_FPS * 60 for name, count in of_lips.pop("blinks").items()
        }
        return likelihoods.of_clips(numbers).figures() | of_lips

    whole = tables(range(len(found.clips)))
    for part, nll in gaussian_figures(network, found.clips).items():
        whole[f"nll_{part}"]["gaussian_without_sound"] = nll
    return {
        **counts(found.clips),
        **whole,
        BY_SOURCE: {
            name: {
                **counts([found.clips[number] for number in numbers]),
                **{key: table for key, table in tables(numbers).items() if not key.startswith(BY_LAG)},
            }
            for name, numbers in groups(found.clips).items()
        },
    }


def counts(clips: Sequence[SpeechClip]) -> dict[str, float]:
    """How many clips and people there are, and how long they speak."""
    return {
        "clips": float(len(clips)),
        "people": float(len({clip.person for clip in clips})),
        "minutes": sum(clip.frames for clip in clips) / MOTION_FPS / 60,
    }


def groups(clips: Sequence[SpeechClip]) -> dict[str, list[int]]:
    """The numbers of each source's clips, corpora first, and last of all that speech folders have from no studio."""
    found: dict[str, list[int]] = {}
    for number, clip in sorted(enumerate(clips), key=lambda pair: (not pair[1].pictures, pair[1].source)):
        found.setdefault(clip.source, []).append(number)
    wild = [number for number, clip in enumerate(clips) if not clip.pictures and not clip.source.startswith(STUDIO)]
    return found | ({WILD: wild} if wild else {})


def evaluate_corpus(data: Sequence[Path], *, weights: Path | None = None, sheet: Path | None = None) -> Figures:
    """The figures of the released network, or of that in `weights`, on the val split of corpus and speech folders.

    With `sheet`, mouths under their waveforms are drawn there.
    """
    speaker = SpeechToMotion.load(weights)
    found = judged(speaker.network, read_clips(data, "val"))
    if sheet is not None:
        draw_sheet(sheet, data, speaker.network, found.clips, found.made)
    sentences = spelled_sentences(data, "val")
    return {
        **figures(speaker.network, found),
        "closures": closure_figures(speaker),
        "closures_in_sentences": sentence_closures(speaker, found.clips, found.made, sentences),
    }
