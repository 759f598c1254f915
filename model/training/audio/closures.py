"""Teach the network which sounds close lips: by made speech, whose sounds are known, and by lips that were seen.

Made speech says nonsense in many voices and languages. It alone would teach what p, b and m are in made voices only:
on real people it would be as sure and often wrong. So the sounds of recorded sentences that are known are learned as
well, and in all other clips whether lips that speak are at their most closed, which says how sure one can be.
"""

import math
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.audio.clip import SpeechClip, balanced
from model.audio.config import AudioConfig
from model.audio.features import MARGIN, SAMPLES_PER_FRAME, level, mel_of
from model.audio.network import CLOSURES, SpeechNetwork
from model.data.speech_windows import Windows
from model.evaluation.audio.alignment import aligned
from model.evaluation.audio.closures import PHONEMES, PLOSIVES, base
from model.evaluation.audio.synchrony import opening_gradient
from model.evaluation.audio.synthesiser import Phoneme, synthesise
from model.morphable import MorphableModel
from model.morphable.basis import EXPRESSION, MOTION_FPS
from model.training.audio.augment import augment
from model.training.audio.sounds import augmented
from model.training.descent import adam, annealed, descend
from model.training.ema import Ema

ONSETS = (*("p", "b", "m", "f", "v") * 2, *"tdkgsznlrjwhy", "sh", "ch", "th")  # p, b, m, f and v twice as often
NUCLEI = (*"aeiou" * 2, "ai", "ee", "oo", "ou")
LANGUAGES = (
    *("en-gb-x-rp", "en-us", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-gb-scotland"),
    *("de", "es", "fr-be", "it", "pt-br", "pl", "nl", "sv", "tr", "ru", "hi"),
)
VARIANTS = (
    *("m1", "m2", "m4", "m5", "m6", "m8", "f1", "f5", "klatt", "klatt2", "klatt3", "klatt4"),
    *("linda", "steph", "adam", "michael", "aunty", "grandma", "boris"),
)
SLOWEST, FASTEST = 110, 240  # words a minute
# Seconds before the burst of a plosive in which lips are shut, and after it: somewhat more than is judged, since the
# regression of a share spreads it.
SHUT = (0.06, 0.01)
SURELY = 1.5  # times its share of a frame that a sound counts there, 1 at most
MOST_CLOSED = 0.08  # of the frames in which a clip is loud: those with the least gap
LOUD = 0.25  # log-mel
AUGMENTED_SHARE = 0.5
MARGIN_FRAMES = 10
USUAL = -2.5  # logit to begin with
EMA_HALF_LIFE_STEPS = 100.0


def train_closures(
    network: SpeechNetwork, clips: Sequence[SpeechClip], sentences: Mapping[str, str], config: AudioConfig
) -> None:
    """Train `network.closures` and leave its average there; half of what is heard is made speech, half are clips.

    Raises DataError: eSpeak NG is not installed, or lacks a voice.
    """
    torch.manual_seed(config.seed)
    gradient = opening_gradient(MorphableModel.load())
    lessons = [*made_lessons(config.made_speeches, config.seed), *clip_lessons(clips, sentences, gradient)]
    samples, targets, known = ([lesson[part] for lesson in lessons] for part in range(3))
    lengths = [len(target) for target in targets]
    made = torch.tensor([float(length) for length in lengths[: config.made_speeches]])
    weights = torch.cat([made / made.sum(), balanced(clips) / balanced(clips).sum()])
    heard = network.closures.train()
    torch.nn.init.constant_(cast(Tensor, heard.out.bias), USUAL)
    optimizer, ema = adam(heard, config.closure_rate, config.weight_decay), Ema(heard, EMA_HALF_LIFE_STEPS)
    for step in range(config.closure_steps):
        windows = Windows.draw(lengths, weights, batch=config.closure_batch, frames=config.regressor_frames)
        sound = windows.cut(samples, rate=SAMPLES_PER_FRAME, margin=MARGIN_FRAMES, more=MARGIN)
        if torch.rand(()) < AUGMENTED_SHARE:
            sound = augmented(sound)
        logits = heard(augment(mel_of(sound)))[:, MARGIN_FRAMES : MARGIN_FRAMES + windows.frames]
        counted = windows.cut(known)
        loss = F.binary_cross_entropy_with_logits(logits, windows.cut(targets), reduction="none") * counted
        descend(optimizer, loss.sum() / counted.sum().clamp(min=1), annealed(step / config.closure_steps), heard)
        ema.update()
    heard.load_state_dict(ema.module.state_dict())
    network.eval()


def made_lessons(count: int, seed: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Made speeches: samples (640 T,), how much each frame is of each closure (T, 2), and what of that is known."""
    drawn = np.random.default_rng(seed)
    lessons: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(count):
        text = " ".join(_word(drawn) for _ in range(drawn.integers(5, 10))) + "."
        voice = f"{drawn.choice(LANGUAGES)}+{drawn.choice(VARIANTS)}"
        speech, phonemes = synthesise(text, voice=voice, words_per_minute=int(drawn.integers(SLOWEST, FASTEST)))
        frames = len(speech) // SAMPLES_PER_FRAME
        loud = np.float32(level([speech]).gain) * speech[: frames * SAMPLES_PER_FRAME]
        target = closures_of(phonemes, frames)
        lessons.append((torch.from_numpy(loud), target, torch.ones_like(target)))
    return lessons


def _word(drawn: np.random.Generator) -> str:
    syllables = []
    for _ in range(drawn.integers(1, 4)):
        onset = drawn.choice(ONSETS) if drawn.random() < 0.9 else ""
        coda = drawn.choice(ONSETS) if drawn.random() < 0.25 else ""
        syllables.append(f"{onset}{drawn.choice(NUCLEI)}{coda}")
    return "".join(syllables)


def clip_lessons(
    clips: Sequence[SpeechClip], sentences: Mapping[str, str], gradient: Tensor
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The same of clips: the sounds of known sentences; else when lips are most closed of those that speak."""
    lessons = []
    for clip in clips:
        if clip.id in sentences:
            target = closures_of(aligned(clip.mel, sentences[clip.id]), clip.frames)
            known = torch.ones_like(target)
        else:
            opening = clip.motion[:, EXPRESSION] @ gradient
            loud = clip.mel.reshape(clip.frames, -1).mean(dim=1) > LOUD
            target, known = torch.zeros(2, clip.frames, len(CLOSURES)).unbind()
            if loud.any():
                target[:, 0] = (opening <= torch.quantile(opening[loud], MOST_CLOSED)).float()
                known[:, 0] = loud.float()
        lessons.append((clip.samples[: SAMPLES_PER_FRAME * clip.frames], target, known))
    return lessons


def closures_of(phonemes: Sequence[Phoneme], frames: int) -> Tensor:
    """How much each frame is of a sound of each of CLOSURES (T, 2), 0..1."""
    target = torch.zeros(frames, len(CLOSURES))
    for phoneme in phonemes:
        for column, place in enumerate(CLOSURES):
            if base(phoneme) not in PHONEMES[place]:
                continue
            start, end = phoneme.start, phoneme.end
            if base(phoneme) in PLOSIVES:
                start, end = start - SHUT[0], start + SHUT[1]
            start, end = start * MOTION_FPS, max(end * MOTION_FPS, start * MOTION_FPS + 1)
            for frame in range(max(0, int(start)), min(frames, math.ceil(end))):
                share = min(1.0, SURELY * (min(end, frame + 1) - max(start, frame)))
                target[frame, column] = max(float(target[frame, column]), share)
    return target
