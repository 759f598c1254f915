"""Plain videos become a corpus folder that training reads; a second call adds only what is new."""

import csv
import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from model.data.corpus import read_corpus
from model.data.prepare import Segment, clip_id, prepare, read_segments, split_of, write_clip
from model.errors import DataError, NoFaceError
from model.extractor import Extractor
from model.morphable.basis import MOTION_FPS
from tests.support.films import swaying
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def videos(tiny_corpus: Path, extractor: Extractor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people's clips, one in a folder of its own, and a file that is no video."""
    folder = tmp_path_factory.mktemp("videos")
    clips = [clip for clip in sorted((tiny_corpus / "clips").glob("*.mp4")) if _shows_a_face(extractor, clip)]
    (folder / "talks").mkdir()
    shutil.copy(clips[0], folder / "anna.mp4")
    shutil.copy(clips[-1], folder / "talks" / "ben.mp4")
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "notes.txt").write_text("not looked at")
    return folder


def _shows_a_face(extractor: Extractor, clip: Path) -> bool:
    """Some of the drawn heads are too turned to be found."""
    (segment,) = read_segments(clip)
    try:
        return all(seen is not None and seen.confidence > 0.5 for seen in extractor.extract_video(segment.frames))
    except NoFaceError:
        return False


@pytest.mark.slow
def test_a_folder_of_videos_becomes_a_corpus(videos: Path, tmp_path: Path) -> None:
    done = prepare(videos, tmp_path, licence="CC0", val_share=0.0)
    items = read_corpus(tmp_path, split="train", kind="clip")
    assert done == {"videos": 3, "clips": len(items), "dropped": 0}
    assert {item.person for item in items} == {"anna", "talks/ben"}
    assert {item.licence for item in items} == {"CC0"}
    for item in items:
        assert item.audio
        landmarks = item.landmarks()
        assert landmarks.shape == (item.frames, 478, 3)
        pictures = list(item.read_frames(range(item.frames)))
        assert len(pictures) == item.frames
        assert pictures[0].shape == (256, 256, 3)
        assert 0 < landmarks[..., :2].mean() < 256
    again = prepare(videos, tmp_path, licence="CC0", val_share=0.0)
    assert again == {"videos": 0, "clips": len(items), "dropped": 0}
    shutil.copy(videos / "anna.mp4", videos / "clara.mp4")
    more = prepare(videos, tmp_path, licence="CC0", val_share=0.0)
    (videos / "clara.mp4").unlink()
    assert more["videos"] == 1
    with (tmp_path / "index.csv").open(newline="") as stream:
        assert [row["path"] for row in csv.DictReader(stream)][-1] == "clara.mp4"
    lines = (tmp_path / "prepared.jsonl").read_text().splitlines()
    assert json.loads(lines[1]) == {"path": "broken.mp4", "clips": 0, "dropped": 0}


@pytest.mark.slow
def test_of_a_segment_with_cuts_the_longest_shot_is_kept_with_its_sound(extractor: Extractor, tmp_path: Path) -> None:
    root = ROOT
    portrait, astronaut = (
        np.asarray(Image.open(root / path)) for path in ("service/samples/portrait.jpg", "tests/samples/astronaut.jpg")
    )
    frames = [*swaying(astronaut, 10), *swaying(portrait, 26), *swaying(astronaut, 6)]
    tone = 0.5 * np.sin(np.arange(42 * 640) / 6).astype(np.float32)
    tone[: 10 * 640] = tone[36 * 640 :] = 0  # other people are silent
    (tmp_path / "clips").mkdir()
    row = write_clip(extractor, Segment(frames, tone), tmp_path, "cut")
    assert row is not None
    assert (row["frames"], row["audio"]) == (26, 1)
    with av.open(str(tmp_path / "clips" / "cut.mp4")) as clip:
        heard = np.concatenate([part.to_ndarray()[0] for part in clip.decode(audio=0)])[: 26 * 640]
    loudness = [np.std(part) for part in np.array_split(heard, 8)]
    assert loudness == pytest.approx([0.5 / np.sqrt(2)] * 8, abs=0.1)
    assert write_clip(extractor, Segment(frames[:10] + frames[-6:], None), tmp_path, "short") is None


def test_segments_are_at_25_frames_a_second_with_their_sound(videos: Path) -> None:
    (segment,) = read_segments(videos / "anna.mp4")
    assert len(segment.frames) == 30
    assert segment.sound is not None
    assert len(segment.sound) == 30 * 16000 // MOTION_FPS
    assert np.abs(segment.sound).max() > 0.05


def test_people_stay_on_their_side_of_the_split() -> None:
    sides = [split_of(f"person {number}", 0.2) for number in range(500)]
    assert sides == [split_of(f"person {number}", 0.2) for number in range(500)]
    assert 60 < sides.count("val") < 140
    assert clip_id("a.mp4", 0) != clip_id("a.mp4", 1)


def test_a_folder_without_videos_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no videos below .*; looked for \.avi, \.m4v"):
        prepare(tmp_path, tmp_path / "out", licence="CC0")
