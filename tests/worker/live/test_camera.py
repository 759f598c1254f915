"""A portrait driven by pictures of another person, as a camera sends them."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
from PIL import Image

from jobs.live import DriveOptions
from jobs.motions import ControlsMotion
from jobs.problems import ProblemError, ProblemType
from jobs.schemas import ImageOptions
from jobs.store.live_streams import LiveNews
from model.extractor import Extraction
from tests.support.bombs import scans
from tests.support.films import sway, swaying
from tests.support.hostile import encoded
from worker import decoding
from worker.decoding import readers
from worker.live.camera import EASE_S, HELD_S, MOST_UNREADABLE, STARTS_S, LiveCamera
from worker.live.drivers import CameraDriver
from worker.make.faces import read_portrait
from worker.make.image import make_image
from worker.models import Models
from worker.settings import WorkerSettings
from worker.workbench import Workbench

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("weights")]

FPS = 25
STARTS = 1 + round(FPS * STARTS_S)  # pictures until it is known how the person began
EASES = 1 + round(FPS * EASE_S)
SIZE = (320, 320)
AWAY = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)


@pytest.fixture(scope="module")
def bench(models: Models) -> Workbench:
    return Workbench(models, WorkerSettings())


@pytest.fixture(scope="module")
def face(bench: Workbench, portrait: Path) -> Extraction:
    return read_portrait(bench, portrait, None).face


@pytest.fixture(scope="module")
def person(astronaut: Path) -> np.ndarray:
    """Whom the camera sees."""
    return np.asarray(Image.open(astronaut).convert("RGB"))


def posed(
    person: np.ndarray,
    *,
    roll: float = 0.0,
    right: float = 0.0,
    size: tuple[int, int] = SIZE,
) -> np.ndarray:
    """The person tilted clockwise by degrees, and to the right by pixels."""
    middle = (person.shape[1] / 2, person.shape[0] / 3)
    to_frame = cv2.getRotationMatrix2D(middle, -roll, 0.6)
    to_frame[:, 2] += (size[0] / 2 - middle[0] + right, size[1] / 2 - middle[1])
    return cv2.warpAffine(person, to_frame, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)


class Session:
    """A camera that sends 25 pictures a second."""

    def __init__(self, camera: LiveCamera) -> None:
        self.camera = camera
        self.pictures = 0

    def see(self, pictures: Iterable[np.ndarray], *, every: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """The portrait's motions (T, D) at each, and whether the face was seen (T,); of `every` so many one is sent."""
        motions, seen = [], []
        for picture in pictures:
            if self.pictures % every == 0:
                jpeg = encoded(Image.fromarray(picture), "JPEG", quality=90)
                motion, there = self.camera.read(jpeg, self.pictures / FPS)
                motions.append(motion)
                seen.append(there)
            self.pictures += 1
        return np.stack(motions), np.array(seen)


@pytest.fixture
def session(bench: Workbench, face: Extraction) -> Iterable[Session]:
    with closing(LiveCamera(bench, face, DriveOptions())) as camera:
        yield Session(camera)


def rolls(motions: np.ndarray) -> np.ndarray:
    return np.asarray(np.degrees(motions[:, 66]))


def steps(motions: np.ndarray) -> float:
    """The largest step of the head's angles between two pictures, in degrees."""
    return float(np.degrees(np.abs(np.diff(motions[:, 64:67], axis=0)).max()))


@pytest.mark.parametrize("every", [1, 3])
def test_the_portrait_rests_and_then_moves_as_the_person_does(
    session: Session, face: Extraction, person: np.ndarray, every: int
) -> None:
    resting, seen = session.see([posed(person)] * STARTS, every=every)
    assert seen.all()
    np.testing.assert_array_equal(resting, np.tile(face.motion, (len(resting), 1)))
    session.see([posed(person)] * EASES)
    angles, unsent = 10 * np.sin(2 * np.pi * np.arange(50) / 50), -session.pictures % every
    moving, _ = session.see([posed(person, roll=angle) for angle in angles], every=every)
    assert rolls(moving) - np.degrees(face.motion[66]) == pytest.approx(angles[unsent::every], abs=2)
    assert np.ptp(rolls(moving)) > 16
    assert moving.dtype == np.float32
    assert moving[:, 67:] == pytest.approx(np.tile(face.motion[67:], (len(moving), 1)), abs=0.15)


def test_the_scales_are_those_of_the_change(bench: Workbench, face: Extraction, person: np.ndarray) -> None:
    pictures = [posed(person)] * STARTS + [posed(person, roll=10)] * EASES
    last = []
    for options in (DriveOptions(), DriveOptions(pose_scale=0.5, expression_scale=0)):
        with closing(LiveCamera(bench, face, options)) as camera:
            last.append(Session(camera).see(pictures)[0][-1])
    whole, scaled = last
    assert scaled[64:] - face.motion[64:] == pytest.approx(0.5 * (whole - face.motion)[64:], abs=1e-4)
    np.testing.assert_array_equal(scaled[:64], face.motion[:64])


def test_a_larger_face_and_one_elsewhere_drive_alike(session: Session, face: Extraction, person: np.ndarray) -> None:
    """However far it goes: the crop of the first picture is 160 pixels wide."""
    session.see([posed(person, size=(640, 320), right=-150)] * (STARTS + EASES))
    places = np.linspace(-150, 150, 50)
    moved, seen = session.see([posed(person, size=(640, 320), right=right) for right in places])
    assert seen.all()
    across = moved[:, 68] - face.motion[68]
    assert np.corrcoef(across, places)[0, 1] > 0.999
    assert moved[:, 69] == pytest.approx(np.full(50, face.motion[69]), abs=0.05)
    assert np.abs(moved[:, :64] - face.motion[:64]).max() < 1


def test_recentering_takes_the_neutral_anew_without_a_jump(
    session: Session, face: Extraction, person: np.ndarray
) -> None:
    session.see([posed(person)] * STARTS)
    tilted, _ = session.see([posed(person, roll=10)] * 2 * EASES)
    assert rolls(tilted)[-1] - np.degrees(face.motion[66]) == pytest.approx(10, abs=1.5)
    session.camera.recenter()
    after, _ = session.see([posed(person, roll=10)] * (STARTS + EASES))
    assert rolls(after)[: STARTS - 1] == pytest.approx(rolls(tilted)[-1], abs=0.3)
    np.testing.assert_allclose(after[-1], face.motion, atol=0.1)
    assert steps(np.concatenate([tilted[-1:], after])) < 2


def test_a_face_that_goes_is_held_then_eased_to_rest_and_eased_in_again(
    session: Session, face: Extraction, person: np.ndarray
) -> None:
    session.see([posed(person)] * STARTS)
    here, _ = session.see([posed(person, roll=10)] * 2 * EASES)
    held = round(HELD_S * FPS)
    away, seen = session.see([AWAY] * (held + EASES + 1))
    assert not seen.any()
    np.testing.assert_array_equal(away[:held], np.tile(here[-1], (held, 1)))
    np.testing.assert_array_equal(away[-1], face.motion)
    back, seen = session.see([posed(person, roll=10)] * 2 * EASES)
    assert seen.all()
    np.testing.assert_allclose(back[-1], here[-1], atol=0.1)
    assert steps(np.concatenate([here[-1:], away, back])) < 2


def test_pictures_of_another_size_begin_anew(session: Session, face: Extraction, person: np.ndarray) -> None:
    session.see([posed(person)] * STARTS)
    before, _ = session.see([posed(person, roll=10)] * 2 * EASES)
    turned = posed(person, roll=10, size=(400, 300))
    waiting, seen = session.see([turned] * STARTS)
    assert seen.all()
    np.testing.assert_array_equal(waiting, np.tile(before[-1], (STARTS, 1)))
    after, _ = session.see([turned] * EASES)
    assert steps(np.concatenate([before, waiting, after])) < 2
    np.testing.assert_allclose(after[-1], face.motion, atol=0.1)


def test_heads_are_turned_no_further_than_the_portrait_allows(
    bench: Workbench, face: Extraction, person: np.ndarray, astronaut: Path, tmp_path: Path
) -> None:
    turned = tmp_path / "turned.png"
    make_image(bench, astronaut, turned, motion=ControlsMotion(controls={"yaw": 25}), options=ImageOptions())
    looks = [person, np.asarray(Image.open(turned).convert("RGB"))]
    with closing(LiveCamera(bench, face, DriveOptions(pose_scale=3))) as camera:
        motions, _ = Session(camera).see([posed(looks[0])] * STARTS + [posed(looks[1])] * 2 * EASES)
    assert 38 < np.degrees(motions[-1, 64]) <= 45


def refused(camera: LiveCamera, data: bytes) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        camera.read(data)
    return caught.value


def test_what_is_no_picture_costs_itself_alone(session: Session, person: np.ndarray) -> None:
    before, _ = session.see([posed(person)] * (STARTS + EASES))
    picture = Image.fromarray(posed(person))
    hostile: Sequence[tuple[bytes, ProblemType]] = (
        (encoded(picture, "PNG"), ProblemType.UNSUPPORTED_MEDIA),
        (encoded(picture, "JPEG")[:2000], ProblemType.UNREADABLE_MEDIA),
        (scans(640, 101), ProblemType.UNREADABLE_MEDIA),
        (encoded(Image.new("RGB", (1281, 720)), "JPEG"), ProblemType.TOO_MANY_PIXELS),
        (encoded(picture, "JPEG") + bytes(512 << 10), ProblemType.TOO_LARGE),
        (b"", ProblemType.UNREADABLE_MEDIA),
    )
    for data, kind in hostile:
        error = refused(session.camera, data)
        assert error.problem_type is kind
        assert error.detail.startswith("the camera's picture ")
        assert not session.camera.given_up
        after, seen = session.see([posed(person)])
        assert seen.all()
        np.testing.assert_allclose(after[0], before[-1], atol=0.1)
    for number in range(1, MOST_UNREADABLE + 1):
        refused(session.camera, hostile[0][0])
        assert session.camera.given_up == (number >= MOST_UNREADABLE)


def test_a_decoder_that_is_killed_or_hangs_costs_a_picture(
    session: Session, person: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "PICTURE_STALL_S", 2.0)
    server = psutil.Process(decoding.start_forkserver().pid)
    for spoil in (psutil.Process.kill, psutil.Process.suspend):
        session.see([posed(person)])
        (child,) = server.children()
        spoil(child)
        jpeg = encoded(Image.fromarray(posed(person)), "JPEG")
        assert refused(session.camera, jpeg).problem_type is ProblemType.TOO_COSTLY
        assert session.see([posed(person)])[1].all()
    session.camera.close()
    assert not server.children()


def test_swaying_is_followed_with_little_delay(session: Session, face: Extraction, person: np.ndarray) -> None:
    session.see([next(swaying(person, 1, size=(320, 400)))] * (STARTS + EASES))
    moving, seen = session.see(swaying(person, 72, size=(320, 400), period=36))
    assert seen.all()
    done, got = np.degrees(sway(72, period=36)[:, 0]), rolls(moving) - np.degrees(face.motion[66])
    late_s = -np.sum((got - done) * np.gradient(done)) / np.sum(np.gradient(done) ** 2) / FPS
    assert 0 < late_s < 0.04


def test_a_driver_has_a_picture_due_until_it_is_given_and_goes_to_rest_in_the_end(
    session: Session, face: Extraction, person: np.ndarray
) -> None:
    driver = CameraDriver(session.camera)
    assert driver.next_s(0.0) is driver.due(0.0) is None
    pictures = [posed(person)] * STARTS + [posed(person, roll=10)] * EASES
    for number, picture in enumerate(pictures):
        now = number / FPS
        driver.feed(LiveNews(None, (), encoded(Image.fromarray(picture), "JPEG", quality=90)), now)
        assert driver.next_s(now) == 0  # though whoever draws it was busy when it came
    moment = driver.due(now)
    assert moment is not None
    assert (moment.at, moment.seen) == (now, True)
    assert driver.next_s(now) is driver.due(now) is None
    driver.finish(now)
    assert driver.next_s(now) is not None
    resting = [driver.due(now + step / FPS) for step in range(EASES + 1)]
    motions = np.stack([moment.motion, *(each.motion for each in resting if each)])
    assert steps(motions) < 2
    np.testing.assert_array_equal(motions[-1], face.motion)
    assert driver.over_at(now + (EASES + 1) / FPS)
