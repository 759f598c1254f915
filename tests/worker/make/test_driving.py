"""What a driver does becomes the portrait's motion; who the driver is does not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from jobs.motions import Keyframe, KeyframesMotion
from jobs.schemas import ImageOptions, VideoOptions
from model.extractor import Crop, Extraction
from tests.support.films import film, swaying
from tests.support.limits import VIDEO_LIMITS
from worker.make.driving import Driver, DrivingVideo, apply, driven_image, resting, starting
from worker.make.faces import read_portrait
from worker.make.render import make_video
from worker.media.video import open_video
from worker.models import Models
from worker.settings import WorkerSettings
from worker.workbench import Workbench

D = 70


@dataclass
class Face:
    identity: np.ndarray = field(default_factory=lambda: np.zeros(80, np.float32))
    motion: np.ndarray = field(default_factory=lambda: np.linspace(-0.5, 0.5, D, dtype=np.float32))


def driver(motion: np.ndarray, shots: list[int] | None = None) -> Driver:
    length = len(motion)
    return Driver(np.asarray(motion, np.float32), np.array(shots or [0] * length), np.ones(length, np.bool_))


def moved(seconds: float = 2.0) -> np.ndarray:
    """A motion (T, D) that starts anywhere and drifts."""
    rng = np.random.default_rng(0)
    return np.cumsum(rng.normal(0, 0.05, (round(25 * seconds), D)), axis=0) + rng.normal(0, 1, D)


def relative(driver: Driver, **options: Any) -> np.ndarray:
    return apply(driver, Face(), starting(driver), VideoOptions(**options))


def absolute(driver: Driver, **options: Any) -> np.ndarray:
    return apply(driver, Face(), resting(driver), VideoOptions(driving_relative=False, **options))


def test_a_portrait_starts_where_it_is_and_moves_as_much_as_the_driver() -> None:
    motion = moved()
    motion[:25, :64] = motion[0, :64]  # a second of rest
    got = relative(driver(motion))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[0], Face().motion, atol=1e-5)
    np.testing.assert_allclose(got[:, :68] - got[0, :68], motion[:, :68] - motion[0, :68], atol=1e-5)


def test_a_blink_in_the_first_frames_does_not_open_the_portraits_eyes_wide() -> None:
    motion = np.zeros((50, D))
    motion[:6, 3] = 4.0
    got = relative(driver(motion))
    assert got[0, 3] == pytest.approx(Face().motion[3] + 4)
    np.testing.assert_allclose(got[10:, 3], Face().motion[3], atol=1e-6)


def test_the_portrait_rests_until_the_driver_comes_and_goes_on_from_there() -> None:
    motion = moved()
    motion[1:6, 3] = motion[0, 3] + 4  # a blink
    late = np.concatenate([np.repeat(motion[:1], 40, axis=0), motion])
    waiting = Driver(late.astype(np.float32), np.zeros(len(late), np.intp), np.arange(len(late)) >= 40)
    for read, own in ((relative, Face().motion[:64]), (absolute, np.zeros(64))):
        got = read(waiting)
        np.testing.assert_allclose(got[40:], read(driver(motion)), atol=1e-5)
        np.testing.assert_allclose(got[:40, :64], np.tile(own, (40, 1)), atol=1e-5)
        np.testing.assert_allclose(got[:40, 64:], np.tile(got[40, 64:], (40, 1)), atol=1e-5)


def test_the_scales_are_those_of_the_change() -> None:
    motion = moved()
    whole, scaled = (relative(driver(motion), **scales) for scales in ({}, {"pose_scale": 0.5, "expression_scale": 2}))
    own = Face().motion
    np.testing.assert_allclose(scaled[:, :64] - own[:64], 2 * (whole[:, :64] - own[:64]), atol=1e-4)
    np.testing.assert_allclose(scaled[:, 64:] - own[64:], 0.5 * (whole[:, 64:] - own[64:]), atol=1e-4)
    still = absolute(driver(motion), pose_scale=0, expression_scale=0)
    np.testing.assert_allclose(still[:, :67], 0, atol=1e-6)  # the resting face, turned to the camera


def test_absolute_takes_expression_and_angles_but_not_size_and_place() -> None:
    motion = moved()
    got = absolute(driver(motion))
    np.testing.assert_allclose(got[:, :67], motion[:, :67], atol=1e-6)
    np.testing.assert_allclose(got[0, 67:], Face().motion[67:], atol=1e-6)
    np.testing.assert_allclose(got[:, 67:], relative(driver(motion))[:, 67:], atol=1e-6)


def test_an_image_is_compared_with_the_resting_face() -> None:
    one = driver(np.full((1, D), 0.25))
    instead = apply(one, Face(), resting(one), ImageOptions())[0]
    on_top = apply(one, Face(), resting(one), ImageOptions(driving_relative=True, expression_scale=2))[0]
    own = Face().motion
    np.testing.assert_allclose(instead, [*[0.25] * 67, *own[67:]], atol=1e-6)
    np.testing.assert_allclose(on_top, [*(own[:64] + 0.5), *(own[64:67] + 0.25), *own[67:]], atol=1e-6)


@pytest.mark.parametrize("read", [relative, absolute])
def test_a_larger_picture_of_the_driver_changes_nothing(read) -> None:
    motion = moved()
    larger = motion.copy()
    larger[:, 67] += np.log(1.7)  # the same head in a crop of another size, and elsewhere in it
    larger[:, 68:] = 1.7 * motion[:, 68:] + (0.3, -0.2)
    np.testing.assert_allclose(read(driver(larger)), read(driver(motion)), atol=1e-4)


def test_offsets_are_counted_in_sizes_of_the_face() -> None:
    motion = np.zeros((2, D))
    motion[:, 67] = np.log(0.5)  # half as large as the portrait's, if that is 1
    motion[1, 68] = 0.1
    face = Face(motion=np.zeros(D, np.float32))
    it = driver(motion)
    assert apply(it, face, starting(it), VideoOptions())[1, 68] == pytest.approx(0.2)


def test_after_a_cut_size_and_place_start_again_and_the_rest_goes_on() -> None:
    motion = moved()
    cut = motion.copy()
    cut[30:, 67:] += (0.4, 0.8, -0.5)
    together = relative(driver(cut, [0] * 30 + [1] * 20))
    np.testing.assert_allclose(together[30, 67:], Face().motion[67:], atol=1e-5)
    np.testing.assert_allclose(together[:, :67], relative(driver(motion))[:, :67], atol=1e-6)
    np.testing.assert_allclose(together[:30], relative(driver(motion))[:30], atol=1e-6)


@dataclass
class Followed:
    """An extractor that has read a driver already, and shows a frame of it whenever it is given one."""

    driver: Driver
    motion_space: str = "open478"

    def extract_video(self, frames: Iterator[np.ndarray], index: int) -> Iterator[Extraction | None]:
        come = self.driver.come
        for number, _ in enumerate(frames):
            if number < come:
                yield None
                continue
            row = self.driver.motion[number]
            seen, shot = bool(self.driver.seen[number]), int(self.driver.shots[number])
            yield Extraction(Crop(0, 0, 1), NO_PICTURE, NOTHING, NOTHING, row, 1.0, seen, shot)


NOTHING, NO_PICTURE = np.zeros(0, np.float32), np.zeros(0, np.uint8)
CASES: dict[str, tuple[int, list[int], list[int]]] = {  # length, where shots begin, frames without a face
    "short": (9, [], []),
    "a second": (25, [], []),
    "long": (80, [], [30, 31]),
    "comes late": (90, [], [*range(20), 22, 60]),
    "cuts": (80, [40, 60], [39, 40]),
    "an early cut": (60, [10, 12], [5]),
    "late, then a cut": (60, [33], [*range(30), 33]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("read", [relative, absolute])
def test_a_video_drives_as_it_is_read_as_it_does_when_all_of_it_is_known(
    read: Callable[[Driver], np.ndarray], case: str, tmp_path: Path
) -> None:
    length, cuts, lost = CASES[case]
    rng = np.random.default_rng(0)
    motion = np.cumsum(rng.normal(0, 0.05, (length, D)), axis=0).astype(np.float32)
    seen = ~np.isin(np.arange(length), lost)
    come = int(seen.argmax())
    motion[:come] = motion[come]
    whole = Driver(motion, np.searchsorted(cuts, np.arange(length), "right"), seen)
    bench = Workbench(SimpleNamespace(extractor=Followed(whole)), WorkerSettings())  # type: ignore[arg-type]
    filmed = film(tmp_path / "driver.mp4", [np.zeros((16, 16, 3), np.uint8)] * length)
    options = VideoOptions(driving_relative=read is relative)
    video = DrivingVideo(bench, Face(), filmed, options)
    parts = [part for part in video.motions() if part is not None]
    assert {len(part) for part in parts} == {1}
    np.testing.assert_array_equal(np.concatenate(parts), read(whole))
    assert video.frames_without_face == len(lost)


def test_what_is_not_used_of_a_video_is_not_read(tmp_path: Path) -> None:
    whole = Driver(np.zeros((200, D), np.float32), np.zeros(200, np.intp), np.arange(200) % 10 > 0)
    bench = Workbench(SimpleNamespace(extractor=Followed(whole)), WorkerSettings())  # type: ignore[arg-type]
    reports: list[int] = []
    bench.stages.report = lambda stage, done, total: reports.append(done)
    filmed = film(tmp_path / "driver.mp4", [np.zeros((16, 16, 3), np.uint8)] * 200)
    video = DrivingVideo(bench, Face(), filmed, VideoOptions())
    moving = (part for part in video.motions() if part is not None)
    assert len(list(islice(moving, 15))) == 15
    assert video.frames_without_face == 2  # of the fifteen
    assert max(reports) < 30


@pytest.fixture(scope="module")
def workbench(models: Models) -> Workbench:
    return Workbench(models, WorkerSettings())


def driven(workbench: Workbench, portrait: Path, driving: Path, **options: object) -> np.ndarray:
    face = read_portrait(workbench, portrait, None).face
    video = DrivingVideo(workbench, face, driving, VideoOptions.model_validate(options))
    return np.concatenate([part for part in video.motions() if part is not None])


def assert_alike(one: np.ndarray, two: np.ndarray, *, degrees: float, share: float) -> None:
    """Angles, and size and place as shares of the face, of motions (T, D)."""
    assert np.degrees(one[:, 64:67]) == pytest.approx(np.degrees(two[:, 64:67]), abs=degrees)
    assert one[:, 67:] == pytest.approx(two[:, 67:], abs=share)


def mouth_gap(workbench: Workbench, motion: np.ndarray) -> np.ndarray:
    """Between the lips of the mean face (T,), in half crop sides."""
    expression = torch.from_numpy(motion[:, :64])
    shape = workbench.models.extractor.morphable.shape(torch.zeros(len(motion), 80), expression).numpy()
    return np.asarray(shape[:, 14, 1] - shape[:, 13, 1])


@pytest.mark.slow
def test_scaling_and_cropping_the_driving_video_leaves_the_motion(
    workbench: Workbench, portrait: Path, astronaut: Path, tmp_path: Path
) -> None:
    pictures = list(swaying(np.asarray(Image.open(astronaut)), 14, size=(420, 420), zoom=0.9, period=14))
    expected = driven(workbench, portrait, film(tmp_path / "whole.mp4", pictures))
    assert np.ptp(np.degrees(expected[:, 66])) > 15
    for name, changed in {
        "small": [cv2.resize(picture, (252, 252), interpolation=cv2.INTER_AREA) for picture in pictures],
        "tight": [np.ascontiguousarray(picture[30:330, 60:340]) for picture in pictures],
        "wide": [cv2.copyMakeBorder(picture, 200, 40, 10, 230, cv2.BORDER_CONSTANT) for picture in pictures],
    }.items():
        got = driven(workbench, portrait, film(tmp_path / f"{name}.mp4", changed))
        assert_alike(got, expected, degrees=2.5, share=0.05)


@pytest.mark.slow
def test_two_people_doing_the_same_drive_alike(
    workbench: Workbench, portrait: Path, astronaut: Path, tmp_path: Path
) -> None:
    poses: tuple[tuple[float, dict[str, float]], ...] = (
        (0.6, {"yaw": 0}),  # at rest until then
        (0.9, {"yaw": 14, "pitch": 4, "jaw_open": 0.7}),
        (1.2, {"yaw": -12, "roll": 6, "x": 0.1}),
        (1.5, {"yaw": 0, "scale": 1.1}),
    )
    performance = KeyframesMotion(keyframes=[Keyframe(t=t, controls=controls) for t, controls in poses])
    read, sizes = [], []
    for name, person in (("one", portrait), ("other", astronaut)):
        filmed = tmp_path / f"{name}.mp4"
        make_video(workbench, person, filmed, motion=performance, options=VideoOptions())
        sizes.append(workbench.models.extractor.extract(next(open_video(filmed, VIDEO_LIMITS).frames(25))).crop.side)
        read.append(driven(workbench, portrait, filmed))
    assert max(sizes) > 1.5 * min(sizes)  # another face, another size of it and another framing
    assert_alike(*read, degrees=4, share=0.06)
    gaps = [mouth_gap(workbench, motion) for motion in read]
    assert np.corrcoef(gaps[0], gaps[1])[0, 1] > 0.75
    own = read_portrait(workbench, portrait, None).face.motion
    for motion, gap in zip(read, gaps, strict=True):
        assert motion[0, 64:] == pytest.approx(own[64:], abs=1e-4)
        assert gap[0] == pytest.approx(mouth_gap(workbench, own[None])[0], abs=0.005)  # the one smiles at rest


@pytest.mark.slow
def test_an_image_drives_absolute_or_relative(
    workbench: Workbench, portrait: Path, astronaut: Path, tmp_path: Path
) -> None:
    for name, photo, roll in (("left", portrait, 10), ("right", astronaut, -14)):  # counterclockwise
        Image.open(photo).rotate(roll, Image.Resampling.BICUBIC, fillcolor=(90, 90, 90)).save(tmp_path / f"{name}.png")
    subject = read_portrait(workbench, tmp_path / "left.png", None)
    driver = read_portrait(workbench, tmp_path / "right.png", None).face.motion
    own = subject.face.motion
    assert np.degrees(driver[66] - own[66]) > 15
    instead, on_top = (
        driven_image(workbench, subject, tmp_path / "right.png", ImageOptions(driving_relative=relative))
        for relative in (False, True)
    )
    np.testing.assert_allclose(instead, [*driver[:67], *own[67:]], atol=1e-5)
    np.testing.assert_allclose(on_top, [*(own + driver)[:67], *own[67:]], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("relative", [True, False])
def test_a_video_says_how_long_its_driver_was_away(
    workbench: Workbench, portrait: Path, astronaut: Path, tmp_path: Path, relative: bool
) -> None:
    pictures = list(swaying(np.asarray(Image.open(astronaut)), 8))
    filmed = film(tmp_path / "driving.mp4", [*pictures, *[np.full_like(pictures[0], 90)] * 6])
    options = VideoOptions(driving_relative=relative, paste_back=False)
    made = make_video(workbench, portrait, tmp_path / "made.mp4", driving=filmed, options=options)
    assert (made.frames, made.frames_without_face) == (14, 6)
    rendered = [frame.astype(int) for frame in open_video(tmp_path / "made.mp4", VIDEO_LIMITS).frames(25)]
    moves = [np.abs(frame - before).mean() for before, frame in pairwise(rendered)]
    assert min(moves[:6]) > 2 * max(moves[-5:])  # held to the end
