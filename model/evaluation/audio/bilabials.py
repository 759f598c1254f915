"""Whether the lips close where p, b and m are spoken, in made speech whose sounds are known."""

import numpy as np

from model.arrays import Doubles, Floats
from model.audio.speech_to_motion import SpeechStyle, SpeechToMotion
from model.errors import DataError
from model.evaluation.audio.synchrony import opening_gradient
from model.evaluation.audio.synthesiser import synthesise
from model.morphable import MorphableModel
from model.morphable.basis import MOTION, MOTION_FPS

SENTENCES = (
    "My mother buys a big pumpkin pie at the market by the bay.",
    "People began to applaud before the band had stopped.",
    "Bob may park the brown bus behind the old museum.",
    "Perhaps tomorrow the members will publish their report.",
    "I remember a summer camp near the river, and many happy people.",
    "Please bring a cup of pepper and some butter for the lamb.",
)
VOICES = ("en-us", "en-gb-scotland")
CLOSED = ("p", "b", "m")
AROUND = 1  # frame on either side of a sound in which its closure counts
SEEDS, TEMPERATURE = 4, 0.7


def bilabial_figures(speaker: SpeechToMotion) -> dict[str, float | str]:
    """How closed the mouth is on p, b and m; or, where eSpeak NG is missing, what to install.

    `opening_rank` is the share of the speech's frames at which the mouth is less open than at its most closed in one of
    these sounds, a mean over sounds: 0 would be always closed. `opening_rank_elsewhere` is that of as many frames at
    any other place of the same speech: what chance gives. `closed_share` is the share of these sounds with a rank under
    0.25.
    """
    gradient = opening_gradient(MorphableModel.load()).numpy()
    ranks: list[float] = []
    elsewhere: list[Doubles] = []
    for number, (text, voice) in enumerate((text, voice) for text in SENTENCES for voice in VOICES):
        try:
            speech, phonemes = synthesise(text, voice=voice)
        except DataError as error:
            return {"not_measured": str(error)}
        spans = [
            (int(p.start * MOTION_FPS) - AROUND, int(p.end * MOTION_FPS) + AROUND + 1)
            for p in phonemes
            if p.name.rstrip(":") in CLOSED
        ]
        for seed in range(SEEDS):
            style = SpeechStyle(seed=SEEDS * number + seed, temperature=TEMPERATURE, blink_rate=0)
            motions = speaker.generate(speech, np.zeros(MOTION, np.float32), style)
            opening = motions[:, : len(gradient)] @ gradient
            ranks += [rank(opening, first, last) for first, last in spans]
            for first, last in spans:
                places = range(len(opening) - (last - first))
                elsewhere.append(np.array([rank(opening, at, at + last - first) for at in places]))
    return {
        "sounds": len(ranks),
        "opening_rank": float(np.mean(ranks)),
        "opening_rank_elsewhere": float(np.mean([places.mean() for places in elsewhere])),
        "closed_share": float(np.mean(np.array(ranks) < 0.25)),
        "closed_share_elsewhere": float(np.mean([(places < 0.25).mean() for places in elsewhere])),
    }


def rank(opening: Floats, first: int, last: int) -> float:
    """The share of frames at which the opening (T,) is less than its least in [first, last)."""
    return float(np.mean(opening < opening[max(first, 0) : last].min()))
