"""A worker whose renderer takes motions of another space than the morphable model's."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jobs.live import DriveOptions
from jobs.motions import CoefficientsMotion, ControlsMotion, FramesMotion
from jobs.problems import ProblemError, ProblemType
from jobs.schemas import ImageOptions, VideoOptions
from model.renderer.config import EditingConfig, RendererConfig, WarpingConfig
from model.renderer.network import PIRenderer, initialize
from model.weights.card import RendererCard
from model.weights.files import released_weights, save_weights
from worker.live.camera import LiveCamera
from worker.make.faces import read_portrait
from worker.make.image import make_image
from worker.make.render import make_video
from worker.models import Models
from worker.settings import WorkerSettings
from worker.workbench import Workbench

SPACE = "bfm-deep3d"
POSE = CoefficientsMotion(space=SPACE, coefficients=[0.1] * 73)

pytestmark = pytest.mark.usefixtures("weights")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("weights")
    for name in ("open478", "extractor"):
        for path in released_weights().glob(f"{name}.*"):
            shutil.copy(path, folder)
    config = RendererConfig(
        motion_dimension=73,
        descriptor_size=16,
        adain_hidden=16,
        warping=WarpingConfig(base_channels=8, max_channels=16),
        editing=EditingConfig(base_channels=8, max_channels=16),
    )
    network = initialize(PIRenderer(config), torch.Generator().manual_seed(0))
    card = RendererCard(motion_space=SPACE, dimension=73, config=config.model_dump())
    save_weights(folder, f"renderer-{SPACE}", network.state_dict(), card, dtype=torch.float32)
    settings = WorkerSettings(weights_dir=folder, renderer=f"renderer-{SPACE}")
    return Workbench(Models.of(settings), settings)


@pytest.mark.slow
def test_its_coefficients_are_rendered(bench: Workbench, portrait: Path, tmp_path: Path) -> None:
    made = make_image(bench, portrait, tmp_path / "a.png", motion=POSE, options=ImageOptions(paste_back=False))
    assert (made.width, made.height) == (256, 256)
    other = CoefficientsMotion(space=SPACE, coefficients=[-3.0] * 73)
    make_image(bench, portrait, tmp_path / "b.png", motion=other, options=ImageOptions(paste_back=False))
    pictures = [np.asarray(Image.open(tmp_path / name), np.int16) for name in ("a.png", "b.png")]
    assert np.abs(pictures[0] - pictures[1]).max() > 0
    frames = FramesMotion(space=SPACE, fps=25, frames=[[0.1 * i] * 73 for i in range(5)])
    video = make_video(bench, portrait, tmp_path / "a.mp4", motion=frames, options=VideoOptions(paste_back=False))
    assert video.frames == 5


def test_motions_of_the_morphable_model_are_refused(
    bench: Workbench, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    def image(**kwargs: object) -> object:
        return make_image(bench, portrait, tmp_path / "x.png", options=ImageOptions(), **kwargs)  # type: ignore[arg-type]

    def video(**kwargs: object) -> object:
        return make_video(bench, portrait, tmp_path / "x.mp4", options=VideoOptions(), **kwargs)  # type: ignore[arg-type]

    for refused, named in (
        (
            lambda: image(motion=ControlsMotion(controls={"yaw": 10})),
            "motion.space is 'open478'; the installed renderer speaks",
        ),
        (lambda: image(motion=CoefficientsMotion(space="open478", coefficients=[0.0] * 70)), "motion.space is"),
        (lambda: image(driving=portrait), "a driving image becomes a motion in the space"),
        (lambda: video(driving=speech), "a driving video becomes a motion in the space"),
        (lambda: video(audio=speech), "speech becomes a motion in the space"),
    ):
        with pytest.raises(ProblemError, match=named) as error:
            refused()
        assert error.value.problem_type is ProblemType.WRONG_MOTION_SPACE
        assert error.value.allowed == ["bfm-deep3d"]
        assert "bfm-deep3d" in error.value.detail
    assert not list(tmp_path.iterdir())


def test_no_camera_drives_it(bench: Workbench, portrait: Path) -> None:
    face = read_portrait(bench, portrait, None).face
    with pytest.raises(ProblemError) as caught:
        LiveCamera(bench, face, DriveOptions())
    assert caught.value.problem_type is ProblemType.WRONG_MOTION_SPACE
    assert (caught.value.got, caught.value.allowed) == ("open478", [SPACE])
    assert "a camera's picture becomes a motion in the space 'open478'" in caught.value.detail
