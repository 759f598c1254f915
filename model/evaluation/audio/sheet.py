"""A sheet to look at: under the waveform of a sound the mouth that spoke it, and the lips that were made of it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from model.arrays import Landmarks, Samples
from model.audio.clip import SpeechClip
from model.audio.motion_code import LIPS
from model.audio.network import SpeechNetwork
from model.data.corpus import read_corpus, spread
from model.data.speech_clips import read_sound
from model.evaluation.audio.synchrony import Made
from model.morphable import MorphableModel
from model.morphable.basis import EXPRESSION

ROWS, COLUMNS, CELL, STEP = 4, 20, 72, 3  # clips, frames of each, pixels of a frame, frames from one to the next
WAVE = 48
OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)  # around
INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
SHOWN = 64  # pixels of the crop that a cell shows
PAPER, INK, LIP = (250, 248, 244), (29, 35, 33), (176, 58, 60)


def draw_sheet(
    path: Path, data: Sequence[Path], network: SpeechNetwork, clips: Sequence[SpeechClip], made: Sequence[Made]
) -> None:
    """Write ROWS clips to `path`, spread over those that are long enough: sound, true mouth, one take's lips."""
    items = {item.id: item for folder in data for item in read_corpus(folder, kind="clip")}
    pictured = [pair for pair in zip(clips, made, strict=True) if items[pair[0].id].pictures]
    long = [pair for pair in pictured if pair[0].frames >= COLUMNS * STEP] or pictured[:1]
    chosen = spread(long, ROWS)
    height = WAVE + 2 * CELL + 8
    sheet = Image.new("RGB", (COLUMNS * CELL, height * len(chosen)), PAPER)
    for row, (clip, one) in enumerate(chosen):
        top, item = row * height, items[clip.id]
        sheet.paste(waveform(read_sound(item.media)[: 640 * STEP * COLUMNS], COLUMNS * CELL, WAVE), (0, top))
        shown = range(0, min(COLUMNS * STEP, clip.frames), STEP)
        landmarks = item.landmarks()
        drawn = _lips(network, clip, one)
        for column, (number, frame) in enumerate(zip(shown, item.read_frames(shown), strict=True)):
            mouth = Image.fromarray(frame).crop(_around(landmarks[number])).resize((CELL, CELL))
            sheet.paste(mouth, (column * CELL, top + WAVE))
            _outline(ImageDraw.Draw(sheet), drawn[number], (column * CELL, top + WAVE + CELL))
    sheet.save(path)


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
    """Landmarks (T, 478, 2) of the first take, the clip's own mean face saying it, about the lips' middle."""
    model = MorphableModel.load()
    expression = clip.motion[:, EXPRESSION].mean(dim=0) + made.takes[0] @ network.code.decoder
    rest = torch.zeros(len(expression), 6)
    points = model.landmarks(clip.identity[None], torch.cat([expression, rest], dim=1))[..., :2]
    return points - points[:, list(LIPS)].mean(dim=(0, 1))


def _outline(draw: ImageDraw.ImageDraw, points: Tensor, corner: tuple[int, int]) -> None:
    placed = torch.tensor(corner) + CELL / 2 + CELL / SHOWN * points
    for ring, colour in ((OUTER, LIP), (INNER, INK)):
        draw.polygon([tuple(point) for point in placed[list(ring)].tolist()], fill=colour)


def _around(landmarks: Landmarks) -> tuple[int, int, int, int]:
    x, y = landmarks[list(LIPS), :2].mean(axis=0)
    half = SHOWN // 2
    return round(x) - half, round(y) - half, round(x) + half, round(y) + half
