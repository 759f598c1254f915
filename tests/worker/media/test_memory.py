"""Memory does not grow with a video's length: neither writing nor reading holds more than a few frames."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

WRITE_AND_READ = """
import sys
from pathlib import Path
import numpy as np, soundfile
from model.metrics.memory import peak_resident_mib
from tests.support.limits import SOUND_LIMITS, VIDEO_LIMITS
from worker.media.audio import open_sound
from worker.media.mp4 import mp4_writer
from worker.media.video import open_video

folder, frames = Path(sys.argv[1]), int(sys.argv[2])
wav, mp4 = folder / "a.wav", folder / "a.mp4"
with soundfile.SoundFile(wav, "w", 48_000, 2) as file:
    for second in range(frames // 25):
        file.write(np.random.default_rng(second).uniform(-0.5, 0.5, (48_000, 2)))
frame = np.tile(np.arange(240, dtype=np.uint8)[:, None, None], (1, 320, 3))
with mp4_writer(mp4, width=320, height=240, fps=25, sound=open_sound(wav, SOUND_LIMITS), crf=40) as writer:
    for _ in range(frames):
        writer.write(frame)
assert sum(1 for _ in open_video(mp4, VIDEO_LIMITS).frames(25)) == frames
print(peak_resident_mib())
"""


def peak_mib(folder: Path, frames: int) -> float:
    command = [sys.executable, "-c", WRITE_AND_READ, str(folder), str(frames)]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
def test_peak_memory_of_a_short_and_a_long_video(tmp_path: Path) -> None:
    short, long = peak_mib(tmp_path, 250), peak_mib(tmp_path, 1750)
    held = (1750 - 250) * 240 * 320 * 3 >> 20  # what the frames between them would take
    assert long - short < held / 10, (short, long)
