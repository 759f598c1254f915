"""Photos as people have them, from the file to the landmarks: those that are read, and what the others are told."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from jobs.problems import ProblemError, ProblemType
from model.data.clips import openings
from model.extractor import Extraction
from model.renderer.prior.prior import Prior
from worker.make.faces import read_portrait
from worker.models import Models
from worker.settings import WorkerSettings
from worker.stages import Stages
from worker.workbench import PreparedPortrait, Workbench

Read = Callable[..., PreparedPortrait]


@pytest.fixture
def read(models: Models, tmp_path: Path) -> Read:
    """Saves a picture and reads it as a job does."""

    def run(
        picture: np.ndarray | Image.Image, *, suffix: str = "png", face: int | None = None, **options: object
    ) -> PreparedPortrait:
        path = tmp_path / f"photo.{suffix}"
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.ascontiguousarray(picture))
        image.save(path, **options)  # type: ignore[arg-type]
        return read_portrait(Workbench(models, WorkerSettings()), path, face)

    return run


@pytest.fixture(scope="module")
def photo(portrait: Path) -> np.ndarray:
    return np.asarray(Image.open(portrait).convert("RGB"))


@pytest.fixture(scope="module")
def known(models: Models, photo: np.ndarray) -> Extraction:
    return models.extractor.extract(photo)


@pytest.mark.slow
def test_a_photo_that_another_owner_sent_before_takes_as_long_as_ever(models: Models, portrait: Path) -> None:
    first = Workbench(models, WorkerSettings(), owner="team-a")

    def looked_for_a_face(owner: str) -> bool:
        bench = replace(first, stages=Stages(), owner=owner)
        read_portrait(bench, portrait, None)
        return "face" in bench.stages.seconds

    asked = ("team-a", "team-b", "team-a", "team-b")
    assert [looked_for_a_face(owner) for owner in asked] == [True, True, False, False]


def test_a_checksum_that_came_with_the_job_is_not_computed_again(models: Models, portrait: Path) -> None:
    bench = Workbench(models, WorkerSettings(), digests={portrait: "known"})
    assert read_portrait(bench, portrait, None) is bench.portraits.get(("", "known", 0))


def points_of(face: Extraction) -> np.ndarray:
    """Landmarks (478, 2) in pixels of the photo."""
    return face.crop.points_to_source(face.landmarks[:, :2])


def off(face: Extraction, known: Extraction, shift: tuple[int, int] = (0, 0)) -> float:
    """Mean distance between the landmarks, in hundredths of the face's height; `shift` is added to the first."""
    right = points_of(known)
    return float(100 * np.linalg.norm(points_of(face) + shift - right, axis=1).mean() / np.ptp(right[:, 1]))


def refused(read: Read, picture: np.ndarray | Image.Image, **options: object) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        read(picture, **options)
    return caught.value


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_read_as_its_exif_orientation_says(
    read: Read, photo: np.ndarray, known: Extraction, orientation: int
) -> None:
    stored = {
        1: photo,
        2: photo[:, ::-1],
        3: photo[::-1, ::-1],
        4: photo[::-1],
        5: photo.transpose(1, 0, 2),
        6: np.rot90(photo, 1),
        7: photo[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(photo, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read(stored, suffix="jpg", quality=95, exif=exif)
    assert found.photo.shape == photo.shape
    assert off(found.face, known) < 1.0
    assert found.face.motion[64:67] == pytest.approx(known.motion[64:67], abs=np.radians(2))


def grey(photo: np.ndarray) -> Image.Image:
    return Image.fromarray(photo).convert("L")


def deep_grey(photo: np.ndarray) -> Image.Image:
    return Image.fromarray(np.asarray(grey(photo)).astype(np.uint16) * 257)


def cut_out(photo: np.ndarray) -> Image.Image:
    """The head on a transparent background, whose colours are noise."""
    alpha = np.zeros(photo.shape[:2], np.uint8)
    cv2.ellipse(alpha, (263, 215), (150, 175), 0, 0, 360, 255, -1)
    noise = np.random.default_rng(0).integers(0, 256, photo.shape, np.uint8)
    return Image.fromarray(np.dstack([np.where(alpha[..., None] > 0, photo, noise), alpha]))


@pytest.mark.parametrize("kind", [grey, deep_grey, cut_out, lambda photo: grey(photo).convert("LA")])
def test_grey_deep_and_transparent_photos_are_read_as_the_photo_is(
    read: Read, photo: np.ndarray, known: Extraction, kind: Callable[[np.ndarray], Image.Image]
) -> None:
    found = read(kind(photo))
    assert found.photo.shape == photo.shape
    assert found.photo.dtype == np.uint8
    assert off(found.face, known) < 2.0


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (39, 39)])
def test_a_photo_too_small_for_a_face_says_how_small_one_may_be(
    read: Read, photo: np.ndarray, size: tuple[int, int]
) -> None:
    error = refused(read, Image.fromarray(photo).resize(size))
    assert error.problem_type is ProblemType.NO_FACE
    assert f"portrait of {size[0]} x {size[1]} pixels" in error.detail
    assert "at least 40 pixels high" in error.detail


@pytest.mark.slow
def test_a_photo_without_a_face_says_what_was_looked_for(read: Read, photo: np.ndarray) -> None:
    error = refused(read, photo[400:])  # the uniform below the chin
    assert error.problem_type is ProblemType.NO_FACE
    assert (error.got, error.allowed) == (0, "at least one face")
    assert "looked for whole faces" in error.detail


@pytest.mark.slow
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_photo_on_its_side_without_exif_says_how_far_a_face_may_tilt(
    read: Read, photo: np.ndarray, turns: int
) -> None:
    error = refused(read, np.rot90(photo, turns))
    assert error.problem_type is ProblemType.NO_FACE
    assert "tilted by up to about 45" in error.detail


def cut(photo: np.ndarray, known: Extraction, side: str, share: float) -> tuple[np.ndarray, tuple[int, int]]:
    """The photo ending where `share` of the face lies beyond that side, and what went at its left and at its top."""
    points = points_of(known)
    low, high = points.min(axis=0), points.max(axis=0)
    first, last = (low + share * (high - low)).astype(int), (high - share * (high - low)).astype(int)
    return {
        "left": (photo[:, first[0] :], (int(first[0]), 0)),
        "right": (photo[:, : last[0]], (0, 0)),
        "top": (photo[first[1] :], (0, int(first[1]))),
        "bottom": (photo[: last[1]], (0, 0)),
    }[side]


@pytest.mark.slow
@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_face_that_the_border_cuts_a_little_is_read_and_one_cut_in_half_is_refused(
    read: Read, photo: np.ndarray, known: Extraction, side: str
) -> None:
    most, shift = cut(photo, known, side, 0.1)
    assert off(read(most).face, known, shift) < 3.0
    half, _ = cut(photo, known, side, 0.6)
    error = refused(read, half)
    assert error.problem_type is ProblemType.NO_FACE
    assert "looked for whole faces" in error.detail


def moved(models: Models, known: Extraction, **controls: float) -> np.ndarray:
    """The portrait's crop, its mesh moved by named controls."""
    motion = models.controls.apply(known.identity, known.motion, controls)
    points, identity, own, target = map(
        torch.from_numpy, (known.landmarks, known.identity[None], known.motion, motion[None])
    )
    morphable = models.extractor.morphable
    to = morphable.move(points, identity, own, target).numpy()
    return Prior.load(morphable).moved(known, to, motion[None])[0]


def test_closed_eyes_are_read_as_closed(models: Models, read: Read, known: Extraction) -> None:
    found = read(moved(models, known, blink_left=1, blink_right=1)).face
    (closed, _), (wide, _) = openings(found.landmarks[None])[0], openings(known.landmarks[None])[0]
    assert found.confidence > 0.5
    assert closed < 0.85 * wide


@pytest.mark.parametrize("yaw", [-45, 45])
def test_a_face_turned_far_is_read_as_turned_that_way(models: Models, read: Read, known: Extraction, yaw: int) -> None:
    found = read(moved(models, known, yaw=yaw)).face
    turned = np.degrees(found.motion[64] - known.motion[64])
    assert np.sign(turned) == np.sign(yaw)
    assert abs(turned) > 10  # as far as a frontal photo's mesh can show it


@pytest.mark.slow
def test_faces_are_counted_by_size_and_the_one_asked_for_is_read(
    read: Read, photo: np.ndarray, known: Extraction
) -> None:
    scene = np.full((700, 1100, 3), (90, 110, 80), np.uint8)
    small = cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    scene[60 : 60 + small.shape[0], 40 : 40 + small.shape[1]] = small
    scene[50 : 50 + photo.shape[0], 550 : 550 + photo.shape[1]] = photo
    largest, first, second = (read(scene, face=index).face for index in (None, 0, 1))
    assert off(largest, known, (-550, -50)) < 1.5
    assert off(first, known, (-550, -50)) < 1.5
    assert second.crop.x + second.crop.side < 550
    assert second.crop.side == pytest.approx(0.5 * first.crop.side, rel=0.1)
    error = refused(read, scene, face=2)
    assert error.problem_type is ProblemType.NO_SUCH_FACE
    assert "face 2 was asked for, but the portrait has 2; allowed are 0 to 1" in error.detail
