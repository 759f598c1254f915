"""Sheets of captioned pictures."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from tests.service.conftest import photo
from worker.media.sheet import CELL, GAP, contact_sheet, video_frames


def write_video(path: Path, frames: int) -> None:
    """Frames that grow lighter, one level of grey per frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            picture = np.full((64, 64, 3), 8 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def test_frames_are_spread_over_the_whole_video(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", 25)
    frames = video_frames(tmp_path / "v.mp4", 5)
    assert [round(time * 25) for time, _ in frames] == [0, 6, 12, 18, 24]
    assert [round(np.asarray(image).mean() / 8) for _, image in frames] == [0, 6, 12, 18, 24]


def test_the_sheet_shows_before_after_and_the_video(tmp_path: Path) -> None:
    (tmp_path / "before.jpg").write_bytes(photo(320, 200))
    Image.new("RGB", (200, 200), (0, 0, 255)).save(tmp_path / "after.png")
    write_video(tmp_path / "v.mp4", 10)
    sheet = contact_sheet(tmp_path / "before.jpg", tmp_path / "after.png", "yaw 20", tmp_path / "v.mp4")
    assert sheet.getpixel((GAP + CELL + GAP + CELL // 2, GAP + CELL // 2)) == (0, 0, 255)
    row = np.asarray(sheet.convert("L"))[sheet.height - CELL // 2]
    lightness = [int(row[GAP + index * (CELL + GAP) + CELL // 2]) for index in range(5)]
    assert lightness == sorted(lightness)
    assert len(set(lightness)) == 5
