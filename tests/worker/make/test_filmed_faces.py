"""Faces followed through real videos, made of photos of two people that sway."""

import json
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from jobs.problems import ProblemError, ProblemType
from jobs.schemas import MotionOptions
from model.extractor import Extraction
from tests.support.films import film, sway, swaying
from tests.support.limits import VIDEO_LIMITS
from worker.make.faces import follow_face, from_the_start
from worker.make.motion import extract_motion
from worker.media.video import open_video
from worker.models import Models
from worker.settings import WorkerSettings
from worker.workbench import Workbench

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("weights")]


@pytest.fixture(scope="module")
def workbench(models: Models) -> Workbench:
    return Workbench(models, WorkerSettings())


@pytest.fixture(scope="module")
def woman(portrait: Path) -> np.ndarray:
    return np.asarray(Image.open(portrait).convert("RGB"))


@pytest.fixture(scope="module")
def other(astronaut: Path) -> np.ndarray:
    return np.asarray(Image.open(astronaut).convert("RGB"))


def awaited(workbench: Workbench, path: Path, index: int | None = None) -> list[Extraction | None]:
    source = open_video(path, VIDEO_LIMITS, name="driving video")
    return [extraction for _, extraction in follow_face(workbench, source, index)]


def followed(workbench: Workbench, path: Path, index: int | None = None) -> list[Extraction]:
    return list(filter(None, from_the_start(awaited(workbench, path, index))))


def angles(found: list[Extraction]) -> np.ndarray:
    """Yaw, pitch and roll (T, 3) in degrees."""
    return np.degrees([extraction.motion[64:67] for extraction in found])


def rolls(found: list[Extraction]) -> np.ndarray:
    """Roll (T,) from the first frame on, in degrees."""
    roll = angles(found)[:, 2]
    return np.asarray(roll - roll[0])


def test_motion_is_that_of_the_picture_and_frames_come_along(
    workbench: Workbench, woman: np.ndarray, tmp_path: Path
) -> None:
    path = film(tmp_path / "a.mp4", swaying(woman, 24))
    each = follow_face(workbench, open_video(path, VIDEO_LIMITS), None)
    read = [(frame, extraction) for frame, extraction in each if extraction is not None]
    assert rolls([extraction for _, extraction in read]) == pytest.approx(np.degrees(sway(24)[:, 0]), abs=2)
    scale = [extraction.motion[67] - read[0][1].motion[67] for _, extraction in read]
    assert scale == pytest.approx(sway(24)[:, 1], abs=0.03)
    for (frame, extraction), picture in zip(read, swaying(woman, 24), strict=True):
        assert np.abs(frame.astype(int) - picture).mean() < 6
        assert np.array_equal(extraction.image, extraction.crop.cut(frame))


def test_large_frames_are_read_smaller_and_told_of_in_pixels_of_the_video(
    workbench: Workbench, woman: np.ndarray, tmp_path: Path
) -> None:
    pictures = [cv2.resize(picture, (1620, 1280)) for picture in swaying(woman, 3, size=(405, 320))]
    read = {}
    for scale in (1, 2):
        resized = (cv2.resize(picture, None, fx=scale, fy=scale) for picture in pictures)
        path = film(tmp_path / f"{scale}.mp4", resized)
        assert {frame.shape for frame in open_video(path, VIDEO_LIMITS).frames(25)} == {(1280, 1620, 3)}
        extract_motion(workbench, path, tmp_path / "motion.json", video=True, options=MotionOptions())
        read[scale] = json.loads((tmp_path / "motion.json").read_text())
    (small,), (large,) = (read[scale]["shots"] for scale in (1, 2))
    doubled = {name: 2 * value for name, value in small["crop"].items()}
    assert large["crop"] == pytest.approx(doubled, rel=0, abs=0.005 * large["crop"]["side"])
    assert np.array(read[2]["frames"]) == pytest.approx(np.array(read[1]["frames"]), abs=0.1)


def test_one_frame(workbench: Workbench, woman: np.ndarray, tmp_path: Path) -> None:
    (only,) = followed(workbench, film(tmp_path / "a.mp4", [woman[:, :508]]))
    alone = workbench.models.extractor.extract(woman)
    assert only.seen
    assert np.degrees(only.motion[64:67]) == pytest.approx(np.degrees(alone.motion[64:67]), abs=2)


def test_uneven_frames_are_read_at_their_times(workbench: Workbench, woman: np.ndarray, tmp_path: Path) -> None:
    times = [0, 1, 2, 3, 4, 5, 7, 9, 11, 14, 15, 16, 20]
    pictures = list(swaying(woman, 21))
    found = followed(workbench, film(tmp_path / "a.mp4", [pictures[time] for time in times], times=times))
    nearest = [min(reversed(times), key=lambda time: abs(time - at)) for at in range(len(found))]
    assert 21 <= len(found) <= 24  # the last frame's length is for the container to say
    assert rolls(found) == pytest.approx(np.degrees(sway(21)[nearest, 0]), abs=3)  # smoothed over the steps
    assert rolls(found)[:5] == pytest.approx(np.degrees(sway(5)[:, 0]), abs=2)


@pytest.mark.parametrize(("rotation", "mirrored"), [(90, False), (-90, True), (180, False), (0, True)])
def test_a_phone_held_on_its_side_or_its_head_or_with_a_front_camera(
    workbench: Workbench, woman: np.ndarray, tmp_path: Path, rotation: int, mirrored: bool
) -> None:
    seen = (picture[:, :: -1 if mirrored else 1] for picture in swaying(woman, 10))
    stored = (np.ascontiguousarray(np.rot90(picture, -rotation // 90)) for picture in seen)
    found = followed(workbench, film(tmp_path / "a.mp4", stored, rotation=rotation, mirrored=mirrored))
    upright = followed(workbench, film(tmp_path / "b.mp4", swaying(woman, 10)))
    assert len(found) == 10
    assert angles(found) == pytest.approx(angles(upright), abs=3)


def test_faces_are_counted_by_size(workbench: Workbench, woman: np.ndarray, other: np.ndarray, tmp_path: Path) -> None:
    pairs = zip(swaying(woman, 10), swaying(other, 10, zoom=0.7), strict=True)
    path = film(tmp_path / "a.mp4", (np.hstack(pair) for pair in pairs))
    known = [workbench.models.extractor.extract(person).identity for person in (woman, other)]
    for index, person in ((None, 0), (0, 0), (1, 1)):
        identity = followed(workbench, path, index)[0].identity
        assert np.argmin([np.linalg.norm(identity - of_person) for of_person in known]) == person
    with pytest.raises(ProblemError, match=r"the driving video: face 2 .* has 2; allowed are 0 to 1") as caught:
        followed(workbench, path, 2)
    assert (caught.value.problem_type, caught.value.got) == (ProblemType.NO_SUCH_FACE, 2)


def jacket(woman: np.ndarray, count: int) -> list[np.ndarray]:
    """Pictures without a face, and none like the other."""
    return [np.ascontiguousarray(woman[420:600, 4 * shift : 4 * shift + 300]) for shift in range(count)]


def test_no_face_at_all(workbench: Workbench, woman: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"the driving video: no face in the 12 frames .* looked for") as caught:
        followed(workbench, film(tmp_path / "a.mp4", jacket(woman, 12)))
    assert (caught.value.problem_type, caught.value.got) == (ProblemType.NO_FACE, 0)


def test_a_face_behind_a_title_is_waited_for(workbench: Workbench, woman: np.ndarray, tmp_path: Path) -> None:
    title = np.full((400, 320, 3), 20, np.uint8)
    cv2.putText(title, "A title", (30, 200), cv2.FONT_HERSHEY_SIMPLEX, 2, (255, 255, 255), 3)
    found = awaited(workbench, film(tmp_path / "a.mp4", [*[title] * 40, *swaying(woman, 12)]))
    assert found[:40] == [None] * 40
    waited = list(from_the_start(found))
    assert waited[:40] == [None] * 40
    held = list(filter(None, waited))
    assert [one.seen for one in held] == [False] * 40 + [True] * 12
    assert {one.shot for one in held} == {0}
    assert rolls(held)[:41] == pytest.approx(np.zeros(41))
    assert rolls(held)[40:] == pytest.approx(np.degrees(sway(12)[:, 0]), abs=2)


def test_a_face_that_fades_in_is_found_as_soon_as_it_can_be_seen(
    workbench: Workbench, woman: np.ndarray, tmp_path: Path
) -> None:
    shares = np.clip((np.arange(32) - 12) / 12, 0, 1)
    faded = [(share * picture).astype(np.uint8) for share, picture in zip(shares, swaying(woman, 32), strict=True)]
    seen = [one.seen for one in followed(workbench, film(tmp_path / "a.mp4", faded))]
    assert not any(seen[:12])
    assert all(seen[24:])


def test_a_face_is_waited_for_as_long_as_is_set(workbench: Workbench, woman: np.ndarray, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", [*[np.zeros((400, 320, 3), np.uint8)] * 30, *swaying(woman, 4)])
    hasty = replace(workbench, settings=WorkerSettings(max_seconds_before_face=1))
    with pytest.raises(ProblemError, match="the driving video: no face in the first 1 seconds; looked for") as caught:
        followed(hasty, path)
    assert caught.value.problem_type is ProblemType.NO_FACE
    assert caught.value.allowed == "a face in the first 1 seconds (PIRENDERER_MAX_SECONDS_BEFORE_FACE)"
    patient = replace(workbench, settings=WorkerSettings(max_seconds_before_face=1.2))
    assert len(followed(patient, path)) == 34


def test_no_frames_at_all(workbench: Workbench, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()  # writes the header
    assert path.stat().st_size > 0
    with pytest.raises(ProblemError, match="the driving video") as caught:
        followed(workbench, path)
    assert caught.value.problem_type is ProblemType.UNREADABLE_MEDIA


def test_a_cut_to_another_framing(workbench: Workbench, woman: np.ndarray, tmp_path: Path) -> None:
    far, near = list(swaying(woman, 14, zoom=0.4)), list(swaying(woman, 14, zoom=0.9))
    mirrored = [np.ascontiguousarray(picture[:, ::-1]) for picture in near]
    found = followed(workbench, film(tmp_path / "a.mp4", far + mirrored))
    assert [extraction.shot for extraction in found] == [0] * 14 + [1] * 14
    expected = np.degrees(sway(14)[:, 0])
    assert rolls(found[:14]) == pytest.approx(expected, abs=2)
    assert rolls(found[14:]) == pytest.approx(-expected, abs=2)
    assert found[14].motion[67] == pytest.approx(found[0].motion[67], abs=0.1)  # size and place are those in the crop
    assert found[14].crop.side > 1.5 * found[0].crop.side


def test_a_face_that_leaves(workbench: Workbench, woman: np.ndarray, tmp_path: Path) -> None:
    pictures = list(swaying(woman, 12))
    empty = [np.full_like(pictures[0], 100)] * 20
    found = followed(workbench, film(tmp_path / "a.mp4", [*pictures, *empty]))
    assert [extraction.seen for extraction in found] == [True] * 12 + [False] * 20
    assert rolls(found)[12:] == pytest.approx(np.full(20, rolls(found)[11]), abs=1.5)
