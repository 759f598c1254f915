"""Memory does not grow with a video's length: neither writing nor reading holds more than a few frames."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PEAKS = """
import sys
from pathlib import Path
import numpy as np, soundfile
from model.metrics.memory import peak_resident_mib
from tests.support.limits import SOUND_LIMITS, VIDEO_LIMITS
from worker.media.audio import open_sound
from worker.media.mp4 import mp4_writer
from worker.media.video import open_video

folder = Path(sys.argv[1])
wav, mp4 = folder / "a.wav", folder / "a.mp4"
frame = np.tile(np.arange(240, dtype=np.uint8)[:, None, None], (1, 320, 3))
for frames in map(int, sys.argv[2:]):
    with soundfile.SoundFile(wav, "w", 48_000, 2) as file:
        for second in range(frames // 25):
            file.write(np.random.default_rng(second).uniform(-0.5, 0.5, (48_000, 2)))
    with mp4_writer(mp4, width=320, height=240, fps=25, sound=open_sound(wav, SOUND_LIMITS), crf=40) as writer:
        for _ in range(frames):
            writer.write(frame)
    assert sum(1 for _ in open_video(mp4, VIDEO_LIMITS).frames(25)) == frames
    print(peak_resident_mib())
"""


@pytest.mark.slow
def test_peak_memory_of_a_short_and_a_long_video(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PEAKS, str(tmp_path), "200", "800"]
    short, long = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    held = (800 - 200) * 240 * 320 * 3 / 2**20  # what the frames between them would take
    assert float(long) - float(short) < held / 10, (short, long)
