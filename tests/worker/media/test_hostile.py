"""Hostile files through the worker's decoders: each is refused as the user's fault or read, and memory stays bounded.

A process of its own does it, as in a worker: so that a crash would be seen, and memory can be measured.
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.hostile import Named, images, sounds, videos
from tests.support.paths import ROOT

MOST_MIB = 700  # the decoders themselves take 200; a bomb would take gigabytes

READ = """
import json, sys
from dataclasses import replace
from pathlib import Path
from model.metrics.memory import peak_resident_mib
from jobs.problems import ProblemError
from tests.support.limits import IMAGE_LIMITS, SOUND_LIMITS, VIDEO_LIMITS
from worker.media.audio import open_sound, read_speech
from worker.media.images import read_image
from worker.media.video import open_video

def sound(path):
    read_speech(path, SOUND_LIMITS)
    for _ in open_sound(path, SOUND_LIMITS).blocks():
        pass

def video(path):
    for _ in open_video(path, replace(VIDEO_LIMITS, seconds=10)).frames(25):
        pass

def image(path):
    read_image(path, replace(IMAGE_LIMITS, pixels=5_000_000))

readers = {"images": image, "sounds": sound, "videos": video}
read = readers[sys.argv[1]]
outcome = {"served": 0, "refused": 0, "faults": []}
for path in sorted(Path(sys.argv[2]).iterdir()):
    Path(sys.argv[3]).write_text(path.name)
    try:
        read(path)
        outcome["served"] += 1
    except ProblemError:
        outcome["refused"] += 1
    except BaseException as error:
        outcome["faults"].append([path.name, repr(error)])
outcome["mib"] = peak_resident_mib()
print(json.dumps(outcome))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "corpus"), [("images", images()), ("sounds", sounds()), ("videos", videos())])
def test_hostile_files_are_refused_or_read(kind: str, corpus: Iterable[Named], tmp_path: Path) -> None:
    folder, last = tmp_path / "files", tmp_path / "last"
    folder.mkdir()
    names = []
    for number, (name, data) in enumerate(corpus):
        names.append(name)
        (folder / f"{number:05}").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", READ, kind, str(folder), str(last)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{names[int(last.read_text())]} ended the process: {done.stderr[-2000:]}"
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert [(names[int(file)], fault) for file, fault in outcome["faults"]] == []
    assert outcome["served"] + outcome["refused"] == len(names)
    assert outcome["served"] > 0
    assert outcome["refused"] > len(names) / 10
    assert outcome["mib"] < MOST_MIB
    print(f"{len(names)} {kind}: {outcome['refused']} refused, {outcome['served']} read, 0 faults")  # noqa: T201
