"""In which order a worker takes messages, and what its parent process holds, which only waits for them."""

import subprocess
import sys

from tests.support.paths import ROOT
from worker.queue.app import ByPriority


def test_images_are_taken_before_motions_and_those_before_videos() -> None:
    asked = ByPriority()
    asked.update({"videos", "images", "motions"})
    assert asked.consume(3) == ["images", "motions", "videos"]
    asked.update({"videos", "motions"})
    assert asked.consume(2) == ["motions", "videos"]


def test_the_parent_holds_neither_models_nor_decoders() -> None:
    code = "import sys, worker.queue.app, worker.queue.tasks; print(*{'torch', 'numpy', 'av'} & sys.modules.keys())"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert told.split() == []
