"""Speech clips for training and evaluation: log-mel and motion of the same frames, and what lips and lids did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from model.arrays import Samples
from model.audio.band import SpeechBand
from model.audio.blinks import lid_closure, running_median
from model.audio.clip import EXPRESSION_SMOOTHING, POSE_SMOOTHING, SpeechClip, smoothed
from model.audio.features import SAMPLE_RATE, SAMPLES_PER_FRAME, SUBFRAMES, level, log_mel
from model.data.corpus import Item, in_step, read_corpus
from model.errors import DataError
from model.morphable import MorphableModel
from model.morphable.basis import EXPRESSION, MOTION_SPACE, POSE
from model.morphable.controls import MEASURES
from model.weights.files import read_card

UPPER_LIP, LOWER_LIP, EYES = 13, 14, (33, 263)
SHORTEST_FRAMES = 20
IN_SYNC = 0.15  # a clip whose `sync` is under this may not show the mouth that speaks
SAME_PERSON = 3.5  # distance of two clips' identities: 2.4 in the median between clips of one, 6.5 between strangers'


def read_sound(path: Path) -> Samples:
    """The sound of a media file as 16 kHz mono samples (N,). Raises DataError: it cannot be read or has none."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise DataError(f"{path} has no sound; the index says that it has")
            blocks = [block for frame in container.decode(audio=0) for block in resampler.resample(frame)]
            blocks += resampler.resample(None)
    except (av.FFmpegError, EOFError) as error:
        raise DataError(f"{path} is no sound that can be read: {error}") from error
    if not blocks:
        raise DataError(f"{path} has a sound of no samples")
    return np.concatenate([block.to_ndarray()[0] for block in blocks]).astype(np.float32)


def mouth_opening(landmarks: Tensor) -> Tensor:
    """The gap between the inner lips (T,), in outer eye corner distances, of landmarks (T, 478, 3)."""
    eyes: Tensor = (landmarks[:, EYES[0]] - landmarks[:, EYES[1]]).norm(dim=-1)
    gap: Tensor = (landmarks[:, UPPER_LIP] - landmarks[:, LOWER_LIP]).norm(dim=-1)
    return gap / eyes


@dataclass(frozen=True)
class LidDirections:
    """What shuts the two eyes, in expression: gradients that measure it, directions that do it; (2, 64) each."""

    gradients: Tensor
    directions: Tensor

    @classmethod
    def of(cls, model: MorphableModel, card: Mapping[str, dict[str, list[float]]]) -> "LidDirections":
        """Take the blink controls of the morphable model's card."""
        measures = [measure for measure in MEASURES if measure.name in ("blink_left", "blink_right")]
        rows = torch.stack([measure.vector() for measure in measures])
        directions = torch.tensor([card["control_directions"][measure.name] for measure in measures])
        return cls(rows @ model.expression_basis.T, directions)

    def without_blinks(self, expression: Tensor) -> Tensor:
        """Expression (T, 64) whose lids keep their running median."""
        shut = expression @ self.gradients.T
        usual = torch.from_numpy(running_median(shut.numpy()))
        return expression - (shut - usual) @ self.directions


def read_clip(item: Item, model: MorphableModel, lids: LidDirections) -> SpeechClip:
    """Read one clip's sound and fit its motion; a source's own delay between lips and sound is taken out."""
    stored = item.landmarks()
    seen, spoken = in_step(len(stored), item.lag)
    landmarks = stored[seen]
    sound = np.concatenate(list(SpeechBand([read_sound(item.media)])))
    samples = torch.zeros(SAMPLES_PER_FRAME * len(stored))
    heard = torch.from_numpy(sound[: len(samples)])
    samples[: len(heard)] = heard * level([sound]).gain
    mel = log_mel(sound, frames=len(stored))
    tensor = torch.from_numpy(landmarks)
    fit = model.fit_clip(tensor)
    expression = lids.without_blinks(fit.motion[:, EXPRESSION])
    motion = torch.cat(
        [smoothed(expression, EXPRESSION_SMOOTHING), smoothed(fit.motion[:, POSE], POSE_SMOOTHING)], dim=1
    )
    return SpeechClip(
        id=item.id,
        person=item.person,
        source=item.source,
        pictures=item.pictures,
        sync=item.sync if item.sync is not None else 0.0,
        samples=samples.unflatten(0, (-1, SAMPLES_PER_FRAME))[spoken].flatten(),
        mel=mel.unflatten(0, (-1, SUBFRAMES))[spoken].flatten(0, 1),
        motion=motion,
        identity=fit.identity[0],
        opening=mouth_opening(tensor),
        lids=torch.from_numpy(lid_closure(landmarks)),
    )


def read_clips(folders: Sequence[Path], split: str, *, at_most: int | None = None) -> list[SpeechClip]:
    """Read a split's clips that have sound, of corpus and speech folders.

    Of each folder, the longer ones are taken first when only `at_most` are wanted.
    Raises DataError: a folder has no clip with sound.
    """
    model = MorphableModel.load()
    lids = LidDirections.of(model, read_card(MOTION_SPACE))
    clips: list[SpeechClip] = []
    for folder in folders:
        items = [
            item
            for item in read_corpus(folder, split=split, kind="clip")
            if item.audio and item.frames - abs(item.lag) >= SHORTEST_FRAMES
        ]
        if not items:
            raise DataError(f"{folder} has no {split} clip with sound of {SHORTEST_FRAMES} frames or more")
        if at_most is not None:
            items = sorted(items, key=lambda item: -item.frames)[:at_most]
        found = [read_clip(item, model, lids) for item in items]
        clips += found if items[0].pictures else trusted_by_source(found)
    return told_apart(clips)


def in_sync(clips: Sequence[SpeechClip]) -> list[SpeechClip]:
    """The clips whose mouth is the one that speaks; all, where that is said of none."""
    return [clip for clip in clips if clip.sync >= IN_SYNC] or list(clips)


def trusted(clips: Sequence[SpeechClip]) -> list[SpeechClip]:
    """The clips that count in training. Raises DataError: there is none."""
    found = [clip for clip in clips if clip.trust > 0]
    if not found:
        raise DataError(f"none of {len(clips)} clips has a sync over 0; audio models learn from those that have")
    return found


def sources(folders: Sequence[Path]) -> list[str]:
    """Where the training clips with sound come from, for a card."""
    items = [item for folder in folders for item in read_corpus(folder, split="train", kind="clip")]
    return sorted({item.repo for item in items if item.audio})


def trusted_by_source(clips: Sequence[SpeechClip]) -> list[SpeechClip]:
    """The clips with the mean `sync` of their source each: that of a clip of a second is mostly noise."""
    sync = {name: [clip.sync for clip in clips if clip.source == name] for name in {clip.source for clip in clips}}
    return [replace(clip, sync=sum(sync[clip.source]) / len(sync[clip.source])) for clip in clips]


def told_apart(clips: Sequence[SpeechClip]) -> list[SpeechClip]:
    """The clips with a person each; those of one source without a name are told apart by their identities.

    A clip is of the person whose first clip is nearest, or of a new one where none is within SAME_PERSON.
    """
    first: dict[str, list[SpeechClip]] = {}
    named = []
    for clip in clips:
        person = clip.person
        if not person:
            known = first.setdefault(clip.source, [])
            apart = [float((clip.identity - other.identity).norm()) for other in known]
            number = min(range(len(apart)), key=apart.__getitem__, default=0)
            if not apart or apart[number] > SAME_PERSON:
                number = len(known)
                known.append(clip)
            person = f"{clip.source} {number}"
        named.append(replace(clip, person=person))
    return named
