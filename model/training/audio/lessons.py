"""What regressors learn from: clips as they are, faster, slower and said again by other voices, their sound changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.audio.clip import SpeechClip, balanced
from model.audio.config import AudioConfig
from model.audio.features import MARGIN, SAMPLES_PER_FRAME, mel_of
from model.data.speech_windows import Windows, cut
from model.training.audio.augment import augment
from model.training.audio.respoken import respoken
from model.training.audio.sounds import augmented, faster, resampled_track

RESPOKEN_SHARE = 0.5  # how often a clip is heard by made voices, beside its own


@dataclass(frozen=True)
class Lessons:
    """What regressors learn from: samples (640 T,), codes (T, E), folds of people, weights."""

    samples: list[Tensor]
    codes: list[Tensor]
    folds: list[int]
    weights: Tensor

    @classmethod
    def of(
        cls,
        clips: Sequence[SpeechClip],
        codes: Sequence[Tensor],
        folds: Sequence[int],
        sentences: Mapping[str, str],
        config: AudioConfig,
    ) -> "Lessons":
        """Clips at the speeds of the configuration, and those whose sentences are known by its voices, half as often.

        Raises DataError: eSpeak NG is not installed, or has no such voice.
        """
        samples, motions = [], []
        weights = balanced(clips)
        known = [number for number, clip in enumerate(clips) if clip.id in sentences]
        for voice, words_per_minute in config.voices if known else ():
            for number in known:
                clip, code = clips[number], codes[number][:, : config.network.components]
                sentence = sentences[clip.id]
                made = respoken(clip, code, sentence, voice=voice, words_per_minute=words_per_minute)
                samples.append(made[0])
                motions.append(made[1])
        voices = len(config.voices)
        again = torch.cat(
            [RESPOKEN_SHARE * len(config.speeds) * weights[known] / max(voices, 1)] * voices or [torch.zeros(0)]
        )
        for speed in config.speeds:
            for clip, code in zip(clips, codes, strict=True):
                motion = resampled_track(code[:, : config.network.components], speed)
                sound = torch.from_numpy(faster(clip.samples.numpy(), speed)) if speed != 1 else clip.samples
                samples.append(cut(sound, 0, SAMPLES_PER_FRAME * len(motion)))
                motions.append(motion)
        return cls(
            samples,
            motions,
            [folds[number] for number in known] * voices + list(folds) * len(config.speeds),
            torch.cat([again, weights.repeat(len(config.speeds))]),
        )

    def batch(self, config: AudioConfig, margin: int) -> tuple[Windows, Tensor, Tensor, Tensor]:
        """Windows, their mel with `margin` frames on either side, their codes, and what of them is inside of clips."""
        lengths = [len(code) for code in self.codes]
        windows = Windows.draw_alike(
            lengths,
            self.weights,
            total=config.regressor_total,
            frames=config.regressor_frames,
            short=config.short_frames,
        )
        sound = windows.cut(self.samples, rate=SAMPLES_PER_FRAME, margin=margin, more=MARGIN)
        if torch.rand(()) < config.augmented_share:
            sound = augmented(sound)
        mel = augment(mel_of(sound))
        mel = torch.roll(mel, int(torch.randint(-1, 2, ())), dims=1)  # up to 10 ms early or late
        return windows, mel, windows.cut(self.codes), windows.inside(lengths)
