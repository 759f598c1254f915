"""A collection of files as people have them, beside the checkout. Other tests make files of the same kinds."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.media_types import AUDIO_TYPES, VIDEO_TYPES, type_of
from jobs.motions import FramesMotion
from jobs.schemas import MotionOptions
from tests.support.limits import IMAGE_LIMITS, SOUND_LIMITS
from tests.support.paths import ROOT
from worker.make.motion import extract_motion
from worker.media.audio import open_sound, read_speech
from worker.media.images import read_image
from worker.models import Models
from worker.settings import WorkerSettings
from worker.workbench import Workbench

FILES = ROOT.parent / "shared" / "trouble"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("weights"),
    pytest.mark.skipif(not FILES.is_dir(), reason="the collection is not there"),
]


@pytest.fixture(scope="module")
def workbench(models: Models) -> Workbench:
    return Workbench(models, WorkerSettings())


@pytest.fixture(scope="module")
def plain(workbench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    frames, _ = read(workbench, "d_plain.mp4", tmp_path_factory.mktemp("plain"))
    return frames


def read(workbench: Workbench, name: str, folder: Path) -> tuple[np.ndarray, int]:
    """Expressions (T, 64) of a video, and how many of its frames show no face."""
    motion = folder / "motion.json"
    made = extract_motion(workbench, FILES / name, motion, video=True, options=MotionOptions())
    frames = FramesMotion.model_validate_json(motion.read_text()).frames
    assert made.frames_without_face is not None
    return np.array(frames)[:, :64], made.frames_without_face


@pytest.mark.parametrize(
    ("name", "before"),
    [
        *((f"d_{name}.mp4", 0) for name in ("mutagen", "cover_face_first", "videolate_cover")),
        *((f"d_{name}.mp4", 0) for name in ("hflip", "transpose", "sar")),
        ("d_ts.ts", 0),
        ("d_black_first.mp4", 25),
        ("d_title_first.mp4", 20),
    ],
)
def test_motions_are_those_of_the_plain_file(
    workbench: Workbench, plain: np.ndarray, tmp_path: Path, name: str, before: int
) -> None:
    found, missing = read(workbench, name, tmp_path)
    assert missing == before
    assert type_of(FILES / name) in VIDEO_TYPES
    shown = found[before:]
    assert len(shown) == (50 if before else 75)
    assert (found[:before] == shown[0]).all()
    assert np.sqrt(((shown - plain[: len(shown)]) ** 2).mean()) <= 0.1


def test_the_sound_keeps_its_place_where_the_video_begins_late() -> None:
    late, plain = (
        np.concatenate([*open_sound(FILES / f"{name}.mp4", SOUND_LIMITS).blocks()])[:, 0]
        for name in ("d_videolate_cover", "d_plain")
    )
    cut = len(plain) - len(late)  # what sounds before the first picture
    assert cut == pytest.approx(16_000, abs=1200)
    assert np.corrcoef(late[2000:], plain[cut + 2000 :])[0, 1] > 0.95


@pytest.mark.parametrize(("name", "most"), [("icc_rgba.png", 1), ("icc_palette.png", 3), ("icc_rgba_alpha.webp", 1)])
def test_photos_with_a_profile_are_the_photo_that_has_nothing_else(name: str, most: float) -> None:
    right = read_image(FILES / "icc_rgb.png", IMAGE_LIMITS).astype(int)
    with Image.open(FILES / name) as image:
        opaque = np.asarray(image.convert("RGBA"))[:, :, 3] == 255
    assert opaque.mean() > 0.5
    assert np.abs(read_image(FILES / name, IMAGE_LIMITS) - right)[opaque].mean() < most


def test_a_heic_is_read_by_whatever_brand() -> None:
    assert type_of(FILES / "brand_hevc.heic") == "image/heic"
    assert read_image(FILES / "brand_hevc.heic", IMAGE_LIMITS).shape == (600, 512, 3)


@pytest.mark.parametrize("name", ["a.aac", "a.amr", "a.aiff", "a_zeros.mp3", "d_mpeg4.avi", "d_ts.ts"])
def test_sounds_are_read_and_taken(name: str) -> None:
    assert type_of(FILES / name) in AUDIO_TYPES
    assert read_speech(FILES / name, SOUND_LIMITS).seconds > 2.5
