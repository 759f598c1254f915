"""Whether lips close where p, b and m are spoken, and the lower lip comes up to the teeth where f and v are.

Both in made speech, whose sounds are known, and in recorded sentences that are known, beside the real lips.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from model.arrays import Array, Doubles, Floats
from model.audio.clip import SpeechClip
from model.audio.speech_to_motion import SpeechToMotion
from model.audio.utterance import SpeechStyle
from model.errors import DataError
from model.evaluation.audio.alignment import aligned
from model.evaluation.audio.synchrony import Made, opening_gradient
from model.evaluation.audio.synthesiser import Phoneme, synthesise
from model.morphable import MorphableModel
from model.morphable.basis import EXPRESSION, MOTION, MOTION_FPS
from model.morphable.controls import Measure

ENGLISH = (
    "My mother buys a big pumpkin pie at the market by the bay.",
    "People began to applaud before the band had stopped.",
    "Bob may park the brown bus behind the old museum.",
    "Perhaps tomorrow the members will publish their report.",
    "I remember a summer camp near the river, and many happy people.",
    "Please bring a cup of pepper and some butter for the lamb.",
    "Five friendly farmers have never left the village.",
    "Every evening the chef offers veal with fresh leaves.",
    "We found a very fine cliff above the valley of the river.",
    "If you prefer coffee, have half of the beverage for free.",
    "The baby moved from the sofa and fell over a pile of books.",
    "Few people believe that the movie was ever beaten by a better one.",
    "A brave fireman saved my family from the flames.",
    "Vera plays the piano and my brother beats the drum.",
)
VOICES = ("en-us", "en-us+f3", "en-us+m3", "en", "en+f2", "en+m7", "en-gb-scotland+f4")
OTHER_LANGUAGES = {
    "de": ("Meine Mutter kauft am Abend Brot und Pumpernickel.", "Vier Affen fanden im Wald ein Fass voll Wein."),
    "fr": ("Mon ami Paul promet un beau bateau à Marie.", "Vous avez vu ma femme au village faire un feu vif."),
    "it": ("La mamma prepara la pasta per il bambino.", "Il vento soffia forte fuori dalla finestra."),
    "pl": ("Mama kupiła babci piękne buty.", "Wilk wyje w lesie, a sowa fruwa wokół wieży."),
    "pt": ("A mãe comprou um barco bonito para a menina.", "A família viu o navio voltar à favela."),
    "es": ("Mi primo Pepe compra pan para mi mamá.", "El café de la familia fue famoso en el fin de siglo."),
}
VARIANTS = ("", "+f2", "+m3")
SPEEDS = (130, 175, 220)  # words a minute
PHONEMES = {"bilabial": ("p", "b", "m"), "labiodental": ("f", "v")}
SHARES = {"bilabial": "closed_share", "labiodental": "touched_share"}
# In f and v the lower lip rises to the upper teeth while the lips stay apart, so their gap tells little. In 439 real
# sentences of GRID the edge of the lower lip is among its quarter of highest frames in 97 % of these 207 sounds
# (elsewhere 58 %); the gap is among its narrowest in 68 % (57 %), the lower lip among its thinnest in 59 % (51 %).
LOWER_LIP = Measure("lower_lip", ((17, 1, 1.0), (2, 1, -1.0)), 0.0, "how far the lower lip is under the nose")
MOST = 0.25  # of the frames of speech: those in which lips count as closed, the lower lip as touching
# eSpeak NG's p and b begin with their burst; the silence of their closure belongs to the sound before. The real lips of
# GRID are most closed 0.07 s before that beginning, in the median.
PLOSIVES, CLOSURE = ("p", "b"), 0.04  # seconds before the burst in which the lips are shut
AROUND = 1  # frame on either side of a sound in which its closure counts
TEMPERATURE = 0.7

Row = dict[str, float]


@dataclass
class Ranks:
    """How many frames of the same speech are less open, as shares: in sounds, and at all places of the speech."""

    sounds: list[float] = field(default_factory=list)
    elsewhere: list[Doubles] = field(default_factory=list)

    def figures(self, place: str) -> Row:
        """Means over sounds, the columns of one row."""
        return {
            f"{place}_sounds": len(self.sounds),
            f"{place}_rank": fmean(self.sounds),
            f"{place}_rank_elsewhere": fmean([ranks.mean() for ranks in self.elsewhere]),
            f"{place}_{SHARES[place]}": fmean([rank < MOST for rank in self.sounds]),
            f"{place}_{SHARES[place]}_elsewhere": fmean([(ranks < MOST).mean() for ranks in self.elsewhere]),
        }


class Closures:
    """Gathers speeches, whose motions and phonemes are known."""

    def __init__(self, model: MorphableModel) -> None:
        self.gradients = {
            "bilabial": opening_gradient(model),
            "labiodental": model.expression_basis @ LOWER_LIP.vector(),
        }
        self.ranks = {place: Ranks() for place in PHONEMES}

    def add(self, expression: Tensor, phonemes: Sequence[Phoneme]) -> None:
        """Rank the sounds of one speech, of expression (T, 64).

        Only frames of speech are compared: lips rest nearly closed in silence, more so than in much of speech.
        """
        spoken = spoken_frames(phonemes, len(expression))
        for place, names in PHONEMES.items():
            height = (expression @ self.gradients[place]).numpy()
            for phoneme in phonemes:
                if base(phoneme) in names:
                    first, end = sound_frames(phoneme)
                    places = (np.flatnonzero(spoken) - (end - first) // 2).tolist()
                    self.ranks[place].sounds.append(rank(height, spoken, first, end))
                    self.ranks[place].elsewhere.append(
                        np.array([rank(height, spoken, at, at + end - first) for at in places])
                    )

    def figures(self) -> Row:
        """The figures of both kinds of sound, of one that was not spoken none."""
        spoken = {place: ranks for place, ranks in self.ranks.items() if ranks.sounds}
        return {name: value for place, ranks in spoken.items() for name, value in ranks.figures(place).items()}


def closure_figures(speaker: SpeechToMotion) -> dict[str, Row | str]:
    """How lips close in made speech, in English and other languages; where eSpeak NG is missing, what to install.

    A row each. `rank` is the share of the frames of speech at which the mouth is less open than at its most closed in
    one of p, b and m, or the lower lip higher than at its highest in one of f and v: a mean over sounds, 0 would be
    always closed. `closed_share` and `touched_share` are the shares of these sounds with a rank under MOST. `elsewhere`
    is that of as many frames around any other moment of the same speech: what chance gives. Closures were learned from
    eSpeak NG too, though from nonsense in other voices.
    """
    model = MorphableModel.load()
    found: dict[str, Row | str] = {}
    for name, speeches in {"english": _english(), "other_languages": _other_languages()}.items():
        closures = Closures(model)
        for number, (text, voice, speed) in enumerate(speeches):
            try:
                speech, phonemes = synthesise(text, voice=voice, words_per_minute=speed)
            except DataError as error:
                return {"not_measured": str(error)}
            style = SpeechStyle(seed=number, temperature=TEMPERATURE, blink_rate=0)
            motions = speaker.generate(speech, np.zeros(MOTION, np.float32), style)
            closures.add(torch.from_numpy(motions[:, EXPRESSION]), phonemes)
        found[name] = closures.figures()
    return found


def _english() -> Iterable[tuple[str, str, int]]:
    """Each sentence by each voice, at speeds that take turns."""
    for (i, text), (j, voice) in product(enumerate(ENGLISH), enumerate(VOICES)):
        yield text, voice, SPEEDS[(i + j) % len(SPEEDS)]


def _other_languages() -> Iterable[tuple[str, str, int]]:
    for (language, texts), (j, variant) in product(OTHER_LANGUAGES.items(), enumerate(VARIANTS)):
        for i, text in enumerate(texts):
            yield text, language + variant, SPEEDS[(i + j) % len(SPEEDS)]


def sentence_closures(
    speaker: SpeechToMotion, clips: Sequence[SpeechClip], made: Sequence[Made], sentences: Mapping[str, str]
) -> dict[str, Row | str]:
    """The same figures in recorded clips whose sentences are known by their ids: a row for each maker, and real lips.

    Figures of takes are means over single ones, as they are drawn; `served` are takes with all that is done to them
    then, closures too. Sounds are where `aligned` finds them; what real lips have is as much
    as can be asked for. Where eSpeak NG is missing, or no clip's sentence is known, a line that says so.
    """
    if not any(clip.id in sentences for clip in clips):
        return {"not_measured": "no clip is of a known sentence"}
    model = MorphableModel.load()
    rows = {name: Closures(model) for name in (*made[0].expressions, "served", "real")}
    for number, (clip, one) in enumerate(zip(clips, made, strict=True)):
        if clip.id not in sentences:
            continue
        try:
            phonemes = aligned(clip.mel, sentences[clip.id])
        except DataError as error:
            return {"not_measured": str(error)}
        for name, codes in one.expressions.items():
            for expression in codes @ speaker.network.code.decoder:
                rows[name].add(expression, phonemes)
        style = SpeechStyle(seed=number, temperature=TEMPERATURE, blink_rate=0)
        served = speaker.generate(
            clip.samples.numpy(), np.zeros(MOTION, np.float32), style, identity=clip.identity.numpy()
        )
        rows["served"].add(torch.from_numpy(served[:, EXPRESSION]), phonemes)
        rows["real"].add(clip.motion[:, EXPRESSION], phonemes)
    return {name: closures.figures() for name, closures in rows.items()}


def sound_frames(phoneme: Phoneme) -> tuple[int, int]:
    """The frames in which lips have to be closed for a sound and AROUND them: the first, and the one after the last."""
    start, end = phoneme.start, phoneme.end
    if base(phoneme) in PLOSIVES:
        start, end = start - CLOSURE, start
    return int(start * MOTION_FPS) - AROUND, int(end * MOTION_FPS) + AROUND + 1


def base(phoneme: Phoneme) -> str:
    """The name of a sound, long or short."""
    return phoneme.name.rstrip(":")


def spoken_frames(phonemes: Sequence[Phoneme], frames: int) -> Array:
    """Which of the frames are of speech (T,); eSpeak NG calls its pauses by names that begin with an underscore."""
    spoken = np.zeros(frames, bool)
    for phoneme in phonemes:
        if not phoneme.name.startswith("_"):
            spoken[int(phoneme.start * MOTION_FPS) : int(phoneme.end * MOTION_FPS) + 1] = True
    return spoken


def rank(height: Floats, spoken: Array, first: int, end: int) -> float:
    """The share of spoken frames at which the height (T,) is less than its least in [first, end)."""
    return float(np.mean(height[spoken] < height[max(first, 0) : end].min()))
