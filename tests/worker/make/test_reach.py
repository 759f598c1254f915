"""However a motion is asked for, a head is turned no further than its portrait shows enough for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from jobs.motions import CoefficientsMotion, ControlsMotion, FramesMotion, Keyframe, KeyframesMotion
from jobs.problems import ProblemError, ProblemType
from jobs.schemas import ImageOptions, VideoOptions
from model.audio import SpokenMotions
from model.engines import RenderedFrames
from model.extractor import Crop, Extraction
from model.morphable.controls import Controls
from model.renderer.prior.reach import MOST_TURN
from tests.support.films import film
from worker.make.image import make_image
from worker.make.output import Output
from worker.make.render import make_video
from worker.models import Models
from worker.settings import WorkerSettings
from worker.stages import Stages
from worker.workbench import Workbench

SIDE = 64
PORTRAIT_SHADE, DRIVER_SHADE = 60, 200  # the stand-in for an extractor tells people apart by them
TURNED = 70.0  # degrees


def turned(yaw: float) -> np.ndarray:
    """A motion (70,) with nothing but a yaw in degrees."""
    motion = np.zeros(70, np.float32)
    motion[64] = np.radians(yaw)
    return motion


@dataclass
class Extractor:
    """Reads a face that looks ahead, or a driver's that is turned far."""

    motion_space: str = "open478"

    def find_faces(self, rgb: np.ndarray, *, every: bool = True) -> list[object]:
        return [object()]

    def extract(self, rgb: np.ndarray, face: object) -> Extraction:
        motion = turned(TURNED if rgb.mean() > (PORTRAIT_SHADE + DRIVER_SHADE) / 2 else 0.0)
        image = np.zeros((256, 256, 3), np.uint8)
        return Extraction(Crop(0, 0, SIDE), image, np.zeros((478, 3), np.float32), np.zeros(80, np.float32), motion, 1)

    def extract_video(self, frames: Iterator[np.ndarray], index: int) -> Iterator[Extraction]:
        return (self.extract(frame, None) for frame in frames)


@dataclass
class Animator:
    """Remembers what it was to render, and draws it black."""

    prior: object | None = field(default_factory=object)
    yaws: list[float] = field(default_factory=list)  # degrees
    window_radius: int = 13

    def prepare(self, face: Extraction) -> None:
        return None

    def animate(
        self, portrait: None, motions: np.ndarray, *, batch_size: int, frames: Sequence[int] | None = None
    ) -> Iterator[RenderedFrames]:
        drawn = motions if frames is None else motions[list(frames)]
        self.yaws += np.degrees(drawn[:, 64]).tolist()
        for start in range(0, len(drawn), batch_size):
            yield RenderedFrames(np.zeros((len(drawn[start : start + batch_size]), 256, 256, 3), np.uint8))


class Speech:
    """Shakes the head while something is said."""

    def stream(self, speech: object, start: np.ndarray, style: object, *, identity: object) -> SpokenMotions:
        return SpokenMotions(3, iter([np.stack([start + turned(yaw) for yaw in (0, TURNED, -TURNED)])]))


def picture(shade: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), shade, np.uint8)


@pytest.fixture(scope="session")
def controls(weights: None) -> Controls:
    return Controls.load()


@pytest.fixture
def bench(controls: Controls) -> Workbench:
    models = SimpleNamespace(extractor=Extractor(), animator=Animator(), controls=controls, speech=Speech())
    models.motion_spaces = Models().motion_spaces
    return Workbench(models, WorkerSettings())  # type: ignore[arg-type]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    Image.fromarray(picture(PORTRAIT_SHADE)).save(tmp_path / "portrait.png")
    Image.fromarray(picture(DRIVER_SHADE)).save(tmp_path / "driver.png")
    soundfile.write(tmp_path / "speech.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 3200), 16_000)
    film(tmp_path / "driver.mp4", [picture(DRIVER_SHADE)] * 4)
    return {path.name: path for path in tmp_path.iterdir()}


def coefficients(yaw: float) -> CoefficientsMotion:
    return CoefficientsMotion(space="open478", coefficients=turned(yaw).tolist())


def frames(*yaws: float) -> FramesMotion:
    return FramesMotion(space="open478", frames=[turned(yaw).tolist() for yaw in yaws])


KEYFRAMES = KeyframesMotion(keyframes=[Keyframe(t=0, controls={"yaw": -45}), Keyframe(t=0.2, controls={"yaw": 45})])

Ask = Callable[[dict[str, Path]], dict[str, Any]]
IMAGES: dict[str, tuple[Ask, int]] = {
    "controls": (lambda _: {"motion": ControlsMotion(controls={"yaw": 45})}, 1),
    "coefficients": (lambda _: {"motion": coefficients(TURNED)}, 1),
    "motions": (lambda _: {"motions": [coefficients(yaw) for yaw in (-TURNED, 10, TURNED)]}, 2),
    "driving": (lambda files: {"driving": files["driver.png"]}, 1),
}
VIDEOS: dict[str, tuple[Ask, int]] = {
    "frames": (lambda _: {"motion": frames(0, 20, 50, 90)}, 2),
    "keyframes": (lambda _: {"motion": KEYFRAMES}, 2),
    "driving": (lambda files: {"driving": files["driver.mp4"]}, 4),
    "speech": (lambda files: {"audio": files["speech.wav"]}, 2),
    "both": (lambda files: {"audio": files["speech.wav"], "driving": files["driver.mp4"]}, 3),
}


def image(bench: Workbench, files: dict[str, Path], **asked: Any) -> Output:
    output = files["portrait.png"].with_name("out")
    return make_image(bench, files["portrait.png"], output, options=ImageOptions(paste_back=False, size=SIDE), **asked)


def video(bench: Workbench, files: dict[str, Path], **asked: Any) -> Output:
    options = VideoOptions(paste_back=False, size=SIDE, driving_relative=False)
    return make_video(bench, files["portrait.png"], files["portrait.png"].with_name("out"), options=options, **asked)


@pytest.mark.parametrize(
    ("make", "asked", "count"),
    [
        *(pytest.param(image, *case, id=f"image by {name}") for name, case in IMAGES.items()),
        *(pytest.param(video, *case, id=f"video by {name}") for name, case in VIDEOS.items()),
    ],
)
def test_turns_are_reduced_and_counted(
    bench: Workbench, files: dict[str, Path], make: Callable[..., Output], asked: Ask, count: int
) -> None:
    made = make(bench, files, **asked(files))
    yaws = np.abs(bench.models.animator.yaws)  # type: ignore[attr-defined]
    assert MOST_TURN - 2 < yaws.max() < MOST_TURN + 1e-4
    assert made.clamped is not None
    assert made.clamped.count == count
    assert made.clamped.reach.yaw == (-MOST_TURN, MOST_TURN)


def test_what_the_portrait_allows_is_rendered_as_asked(bench: Workbench, files: dict[str, Path]) -> None:
    assert image(bench, files, motion=coefficients(30)).clamped is None
    assert video(bench, files, motion=frames(-30, 0, 30)).clamped is None
    assert bench.models.animator.yaws == pytest.approx([30, -30, 0, 30])  # type: ignore[attr-defined]


@pytest.mark.parametrize(("by", "total"), [("coefficients", 1), ("motions", 3)])
def test_images_are_reported_until_all_are_done(bench: Workbench, files: dict[str, Path], by: str, total: int) -> None:
    told: list[tuple[str, int, int | None]] = []
    stages = Stages(lambda stage, done, of: told.append((stage, done, of)))
    image(replace(bench, stages=stages), files, **IMAGES[by][0](files))
    assert told[-1] == ("render", total, total)


def test_an_archive_has_a_bound(bench: Workbench, files: dict[str, Path]) -> None:
    bench = replace(bench, settings=WorkerSettings(max_archive_bytes=2000))
    with pytest.raises(ProblemError, match="allowed are 2000 for all") as refused:
        image(bench, files, motions=[coefficients(0)] * 64)
    assert refused.value.problem_type is ProblemType.TOO_LARGE
    assert files["portrait.png"].with_name("out").stat().st_size < 10_000


def test_a_renderer_without_a_prior_is_left_to_itself(bench: Workbench, files: dict[str, Path]) -> None:
    unguided = Animator(prior=None)
    bench = replace(bench, models=SimpleNamespace(**{**vars(bench.models), "animator": unguided}))  # type: ignore[arg-type]
    assert image(bench, files, motion=coefficients(TURNED)).clamped is None
    assert video(bench, files, motion=frames(TURNED)).clamped is None
    assert unguided.yaws == pytest.approx([TURNED, TURNED])
