"""A sheet to look at: under the waveform of a sound the mouth that spoke it, and the lips that were made of it."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from model.arrays import Samples
from model.audio.clip import SpeechClip
from model.audio.features import SAMPLES_PER_FRAME
from model.audio.motion_code import LIPS
from model.audio.network import SpeechNetwork
from model.data.corpus import in_step, read_corpus, spread
from model.data.speech_clips import read_sound
from model.evaluation.audio.synchrony import Made
from model.face.topology import INNER_LIPS, OUTER_LIPS
from model.morphable import MorphableModel
from model.morphable.basis import EXPRESSION, POSE_SIZE

ROWS, COLUMNS, CELL, STEP = 10, 20, 72, 3  # clips, frames of each, pixels of a frame, frames from one to the next
LABEL, WAVE = 14, 48
SHOWN = 64  # pixels of the crop that a cell shows
PAPER, INK, LIP = (250, 248, 244), (29, 35, 33), (176, 58, 60)


def draw_sheet(
    path: Path, data: Sequence[Path], network: SpeechNetwork, clips: Sequence[SpeechClip], made: Sequence[Made]
) -> None:
    """Write at most ROWS people's clips to `path`, spread over the sources: sound, true mouth, one take's lips.

    The true mouth is a picture, or in a clip of a speech folder the outline of its landmarks.
    """
    items = {(item.source, item.id): item for folder in data for item in read_corpus(folder, kind="clip")}
    chosen = spread_over_sources(clips, ROWS)
    height = LABEL + WAVE + 2 * CELL
    sheet = Image.new("RGB", (COLUMNS * CELL, height * len(chosen)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, clip_number in enumerate(chosen):
        clip, top = clips[clip_number], row * height + LABEL
        item, shown = items[clip.source, clip.id], range(0, min(COLUMNS * STEP, clip.frames), STEP)
        stored = item.landmarks()
        seen, heard = in_step(len(stored), item.lag)
        sound = read_sound(item.media)[SAMPLES_PER_FRAME * heard.start :]
        sheet.paste(waveform(sound[: SAMPLES_PER_FRAME * STEP * len(shown)], len(shown) * CELL, WAVE), (0, top))
        draw.text((2, top - LABEL), clip.source, fill=INK)
        true, drawn = torch.from_numpy(stored[seen][..., :2]), _lips(network, clip, made[clip_number])
        frames = [seen.start + number for number in shown]
        pictures = item.read_frames(frames) if item.pictures else [None] * len(frames)
        for column, (number, picture) in enumerate(zip(shown, pictures, strict=True)):
            corner = (column * CELL, top + WAVE)
            if picture is None:
                _outline(draw, true[number], corner)
            else:
                sheet.paste(Image.fromarray(picture).crop(_around(true[number])).resize((CELL, CELL)), corner)
            _outline(draw, drawn[number], (corner[0], corner[1] + CELL))
    sheet.save(path)


def spread_over_sources(clips: Sequence[SpeechClip], most: int) -> list[int]:
    """The numbers of at most `most` clips, of a person each and of the sources by turns, in the order of sources.

    Of a person, the first clip that fills a row; the longest where none does.
    """
    people: dict[str, dict[str, list[int]]] = {}
    for number, clip in enumerate(clips):
        people.setdefault(clip.source, {}).setdefault(clip.person, []).append(number)
    turns = [
        spread([max(own, key=lambda number: min(clips[number].frames, COLUMNS * STEP)) for own in by.values()], most)
        for by in people.values()
    ]
    chosen = [number for turn in zip_longest(*turns) for number in turn if number is not None][:most]
    order = list(people)
    return sorted(chosen, key=lambda number: (order.index(clips[number].source), number))


def waveform(samples: Samples, width: int, height: int) -> Image.Image:
    """The waveform of samples (N,) over `width` pixels: each column spans its least and its largest sample."""
    image = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(image)
    largest = max(float(np.abs(samples).max(initial=0)), 1e-6)
    for x, piece in enumerate(np.array_split(samples, width)):
        low, high = float(piece.min(initial=0)) / largest, float(piece.max(initial=0)) / largest
        draw.line([(x, height / 2 * (1 - high)), (x, height / 2 * (1 - low))], fill=INK)
    return image


def _lips(network: SpeechNetwork, clip: SpeechClip, made: Made) -> Tensor:
    """Landmarks (T, 478, 2) of the first take, the clip's own mean face saying it with its head at rest."""
    model = MorphableModel.load()
    expression = clip.motion[:, EXPRESSION].mean(dim=0) + made.takes[0] @ network.code.decoder
    rest = torch.zeros(len(expression), POSE_SIZE)
    return model.landmarks(clip.identity[None], torch.cat([expression, rest], dim=1))[..., :2]


def _outline(draw: ImageDraw.ImageDraw, points: Tensor, corner: tuple[int, int]) -> None:
    """Draw the lips of points (478, 2), their middle in the middle of the cell."""
    placed = torch.tensor(corner) + CELL / 2 + CELL / SHOWN * (points - points[list(LIPS)].mean(dim=0))
    for ring, colour in ((OUTER_LIPS, LIP), (INNER_LIPS, INK)):
        draw.polygon([tuple(point) for point in placed[list(ring)].tolist()], fill=colour)


def _around(points: Tensor) -> tuple[int, int, int, int]:
    """The box of the crop about the lips of points (478, 2) that a cell shows."""
    x, y = points[list(LIPS)].mean(dim=0).tolist()
    half = SHOWN // 2
    return round(x) - half, round(y) - half, round(x) + half, round(y) + half
