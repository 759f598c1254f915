"""How well speech-to-motion does on people it never saw: likelihood, lips, and whether it moves like a person."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.audio.clip import SpeechClip
from model.audio.network import SpeechNetwork
from model.audio.sampling import sample_codes, sound_track
from model.audio.speech_to_motion import SpeechToMotion
from model.data.speech_clips import read_clips
from model.data.speech_windows import cut
from model.errors import DataError
from model.evaluation.audio.bilabials import bilabial_figures
from model.evaluation.audio.movement import movement_figures
from model.evaluation.audio.nll import clip_nll, over_frames
from model.evaluation.audio.sheet import draw_sheet
from model.evaluation.audio.synchrony import Made, diversity_figures, lip_figures
from model.morphable import MorphableModel
from model.morphable.basis import MOTION_FPS

IN_SYNC = 0.15  # clips whose `sync` is under this may not show the mouth that speaks
TAKES, TEMPERATURE = 16, 0.7
OTHERS = 8  # people whose sound each clip is tried with

Figures = dict[str, float | dict[str, float]]


@dataclass(frozen=True)
class Judged:
    """The clips that count, their sound tracks (T, S), and what was made of them."""

    clips: list[SpeechClip]
    tracks: list[Tensor]
    made: list[Made]


def judged(network: SpeechNetwork, clips: Sequence[SpeechClip]) -> Judged:
    """Draw TAKES takes for every clip in sync."""
    chosen = [clip for clip in clips if clip.sync >= IN_SYNC] or list(clips)
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
    """All figures of what was made of held-out clips."""
    model = MorphableModel.load()
    return {
        "clips": float(len(found.clips)),
        "people": float(len({clip.person for clip in found.clips})),
        "minutes": sum(clip.frames for clip in found.clips) / MOTION_FPS / 60,
        **likelihood(network, found.clips, found.tracks),
        **lip_figures(network, model, found.clips, found.made),
        **diversity_figures(network, model, found.made),
        **movement_figures(network, model, found.clips, found.made),
    }


def evaluate_corpus(
    data: Sequence[Path], *, weights: Path | None = None, sheet: Path | None = None
) -> dict[str, object]:
    """The figures of the released network, or of that in `weights`, on the val split of corpus and speech folders.

    With `sheet`, mouths under their waveforms are drawn there.
    """
    speaker = SpeechToMotion.load(weights)
    found = judged(speaker.network, read_clips(data, "val"))
    if sheet is not None:
        draw_sheet(sheet, data, speaker.network, found.clips, found.made)
    return {**figures(speaker.network, found), "bilabials": bilabial_figures(speaker)}


def other_people(clips: Sequence[SpeechClip]) -> list[list[int]]:
    """The numbers of the next clips, in a circle, whose person is not the clip's own: as many for each clip.

    Raises DataError where there is one person only.
    """
    people = [clip.person for clip in clips]
    if len(set(people)) < 2:
        raise DataError(f"all {len(clips)} clips are of {people[0]!r}; two people or more are needed")
    turned = [[*range(i + 1, len(people)), *range(i)] for i in range(len(people))]
    others = [[j for j in order if people[j] != people[i]] for i, order in enumerate(turned)]
    count = min(OTHERS, *map(len, others))
    return [numbers[:count] for numbers in others]


def likelihood(network: SpeechNetwork, clips: Sequence[SpeechClip], tracks: Sequence[Tensor]) -> Figures:
    """NLL a dimension in nats with the true sound, with other people's, and under a Gaussian without sound.

    The Gaussian has the mean and full covariance of a frame given the one before it, fitted on the very clips it is
    judged on: as good as a linear model without sound can look. `own_sound_gain` is by how much the true sound lowers a
    clip's NLL against others: mean and deviation over clips, the share of clips for which it does so on the average,
    and the share of single pairs of a clip and another's sound.
    """
    code, e = network.code, network.config.components
    codes = [torch.cat([code.expression(clip), code.pose(clip)], dim=1) for clip in clips]
    dimensions = torch.tensor([e, codes[0].shape[1] - e])
    true = clip_nll(network.flows, tracks, codes) / dimensions
    false = (
        torch.stack(
            [
                clip_nll(network.flows, [_as_long(tracks[j], c) for j, c in zip(turn, codes, strict=True)], codes)
                for turn in zip(*other_people(clips), strict=True)
            ]
        )
        / dimensions
    )
    found: Figures = {}
    for which, (part, own) in enumerate({"expression": slice(0, e), "pose": slice(e, None)}.items()):
        gain = false[..., which] - true[:, which]  # (others, clips)
        gaussian = gaussian_nll([c[:, own] for c in codes]) / float(dimensions[which])
        found[f"nll_{part}"] = {
            "true_sound": float(over_frames(true[:, which], codes)),
            "another_persons_sound": float(over_frames(false[..., which].mean(dim=0), codes)),
            "gaussian_without_sound": gaussian,
        }
        found[f"own_sound_gain_{part}"] = {
            "mean": float(gain.mean()),
            "deviation_between_clips": float(gain.mean(dim=0).std()),
            "share_of_clips": float((gain.mean(dim=0) > 0).float().mean()),
            "share_of_pairs": float((gain > 0).float().mean()),
        }
    return found


def _as_long(track: Tensor, code: Tensor) -> Tensor:
    """A sound track (T, S) over and over, cut to the length of a code."""
    return cut(torch.cat([track] * (1 + len(code) // len(track))), 0, len(code))


def gaussian_nll(codes: Sequence[Tensor]) -> float:
    """The NLL a frame, in nats, of codes (T, D) under x_t ~ N(A x_{t-1}, C), both fitted on them."""
    before, after = torch.cat([c[:-1] for c in codes]).double(), torch.cat([c[1:] for c in codes]).double()
    error = after - before @ torch.linalg.lstsq(before, after).solution
    covariance = error.T @ error / len(error)
    return float(0.5 * (torch.logdet(2 * math.pi * covariance) + len(covariance)))
