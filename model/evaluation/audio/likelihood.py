"""How likely people's motion is under the flows: with its own sound, with another's, and beside a linear model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.audio.clip import SpeechClip
from model.audio.network import SpeechNetwork
from model.data.speech_windows import cut
from model.errors import DataError
from model.evaluation.audio.nll import clip_nll, over_frames
from model.morphable.basis import MOTION_FPS

OTHERS = 8  # people whose sound each clip is tried with
LONG_SECONDS = 2


@dataclass(frozen=True)
class Likelihoods:
    """NLL a dimension in nats of clips' expression and pose: with their own sound, and with each of some others'."""

    lengths: Tensor  # (clips,) frames
    own: Tensor  # (clips, 2)
    others: Tensor  # (OTHERS or fewer, clips, 2)

    @classmethod
    def of(cls, network: SpeechNetwork, clips: Sequence[SpeechClip], tracks: Sequence[Tensor]) -> "Likelihoods":
        """Measure the clips, whose sound tracks (T, S) these are. Raises DataError: they are all of one person."""
        codes = [network.code.both(clip) for clip in clips]
        dimensions = torch.tensor([network.config.components, codes[0].shape[1] - network.config.components])
        others = [
            clip_nll(network.flows, [_as_long(tracks[j], c) for j, c in zip(turn, codes, strict=True)], codes)
            for turn in zip(*other_people(clips), strict=True)
        ]
        return cls(
            torch.tensor([len(code) for code in codes]),
            clip_nll(network.flows, tracks, codes) / dimensions,
            torch.stack(others) / dimensions,
        )

    def of_clips(self, numbers: Sequence[int]) -> "Likelihoods":
        """Those of some of the clips."""
        chosen = list(numbers)
        return Likelihoods(self.lengths[chosen], self.own[chosen], self.others[:, chosen])

    def figures(self) -> dict[str, dict[str, float]]:
        """Means over frames, and by how much the own sound lowers a clip's NLL against others.

        `own_sound_gain` has that mean and its deviation over clips, the share of clips for which it does so on the
        average, and the share of single pairs of a clip and another's sound: of all, and of clips of LONG_SECONDS or
        more, where chance has less of a say.
        """
        long = self.lengths >= LONG_SECONDS * MOTION_FPS
        found = {}
        for which, part in enumerate(("expression", "pose")):
            gain = self.others[..., which] - self.own[:, which]  # (others, clips)
            found[f"nll_{part}"] = {
                "true_sound": over_frames(self.own[:, which], self.lengths),
                "another_persons_sound": over_frames(self.others[..., which].mean(dim=0), self.lengths),
            }
            found[f"own_sound_gain_{part}"] = {
                "mean": float(gain.mean()),
                **({"deviation_between_clips": float(gain.mean(dim=0).std())} if gain.shape[1] > 1 else {}),
                "share_of_clips": float((gain.mean(dim=0) > 0).float().mean()),
                "share_of_pairs": float((gain > 0).float().mean()),
                **({"share_of_pairs_of_long_clips": float((gain[:, long] > 0).float().mean())} if long.any() else {}),
            }
        return found


def gaussian_figures(network: SpeechNetwork, clips: Sequence[SpeechClip]) -> dict[str, float]:
    """The NLL a dimension, in nats, of expression and pose under a Gaussian without sound.

    It has the mean and full covariance of a frame given the one before it, fitted on the very clips it is judged on: as
    good as a linear model without sound can look.
    """
    e = network.config.components
    codes = [network.code.both(clip) for clip in clips]
    parts = {"expression": [code[:, :e] for code in codes], "pose": [code[:, e:] for code in codes]}
    return {name: gaussian_nll(part) / part[0].shape[1] for name, part in parts.items()}


def gaussian_nll(codes: Sequence[Tensor]) -> float:
    """The NLL a frame, in nats, of codes (T, D) under x_t ~ N(A x_{t-1}, C), both fitted on them."""
    before, after = torch.cat([c[:-1] for c in codes]).double(), torch.cat([c[1:] for c in codes]).double()
    error = after - before @ torch.linalg.lstsq(before, after).solution
    covariance = error.T @ error / len(error)
    return float(0.5 * (torch.logdet(2 * math.pi * covariance) + len(covariance)))


def other_people(clips: Sequence[SpeechClip]) -> list[list[int]]:
    """The numbers of the next clips, in a circle, whose person is not the clip's own: as many for each clip.

    Those of the clip's own source come first, lest a recording be told from another rather than speech from speech.
    Raises DataError: there is one person only.
    """
    people = [clip.person for clip in clips]
    if len(set(people)) < 2:
        raise DataError(f"all {len(clips)} clips are of {people[0]!r}; two people or more are needed")
    turned = [[*range(i + 1, len(people)), *range(i)] for i in range(len(people))]
    others = [
        sorted((j for j in order if people[j] != people[i]), key=lambda j: clips[j].source != clips[i].source)
        for i, order in enumerate(turned)
    ]
    count = min(OTHERS, *map(len, others))
    return [numbers[:count] for numbers in others]


def _as_long(track: Tensor, code: Tensor) -> Tensor:
    """A sound track (T, S) over and over, cut to the length of a code."""
    return cut(torch.cat([track] * (1 + len(code) // len(track))), 0, len(code))
