"""The sheet shows clips of both kinds of folders, each person once, with lips where the sound is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model.audio.clip import SpeechClip
from model.audio.speech_to_motion import SpeechToMotion
from model.data.speech_clips import read_clips
from model.evaluation.audio.sheet import CELL, COLUMNS, INK, LABEL, PAPER, STEP, WAVE, draw_sheet, spread_over_sources
from model.evaluation.audio.synchrony import Made


@pytest.fixture(scope="module")
def clips(speech_corpus: Path, speech_folder: Path) -> list[SpeechClip]:
    return read_clips([speech_corpus, speech_folder], "val")


def test_both_folders_are_drawn_with_lips_in_step_with_the_sound(
    clips: list[SpeechClip], speech_corpus: Path, speech_folder: Path, tmp_path: Path
) -> None:
    network = SpeechToMotion.load().network
    codes = [network.code.raw_expression(clip) for clip in clips]
    made = [Made(code[None], torch.zeros(1, len(code), 6), code) for code in codes]
    draw_sheet(tmp_path / "sheet.png", [speech_corpus, speech_folder], network, clips, made)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    height = LABEL + WAVE + 2 * CELL
    assert sheet.shape == (3 * height, COLUMNS * CELL, 3)

    def openings(row: int, band: int) -> np.ndarray:
        """Dark pixels of each cell of a row's upper or lower mouths."""
        top = row * height + LABEL + WAVE + band * CELL
        cells = sheet[top : top + CELL].reshape(CELL, COLUMNS, CELL, 3)
        return (cells == INK).all(axis=-1).sum(axis=(0, 2))

    for row, clip in enumerate(clips):
        opening = clip.opening[::STEP].numpy()
        shown = len(opening)
        assert np.corrcoef(openings(row, 1)[:shown], opening)[0, 1] > 0.9
        assert (openings(row, 1)[:shown] > 0).all()
    words = clips[2]
    assert words.frames == 58
    assert np.corrcoef(openings(2, 0), words.opening[::STEP].numpy())[0, 1] > 0.9
    pictured = sheet[LABEL + WAVE : LABEL + WAVE + CELL]
    assert (pictured != PAPER).any(axis=-1).all()


def test_people_are_taken_of_the_sources_by_turns(clips: list[SpeechClip]) -> None:
    made_up = [("a", 0, 60), ("a", 0, 90), ("a", 1, 30), ("b", 2, 30), ("b", 2, 40), ("a", 3, 70), ("c", 4, 80)]
    several = [
        replace(clips[0], source=source, person=f"p{person}", motion=torch.zeros(frames, 70))
        for source, person, frames in made_up
    ]
    assert spread_over_sources(several, 10) == [0, 2, 5, 4, 6]
    assert spread_over_sources(several, 3) == [0, 4, 6]
