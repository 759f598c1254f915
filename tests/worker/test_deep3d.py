"""A worker whose renderer takes the authors' motion space, with a network that reads photos in it.

The weights are made up: from the files that a user has, through the commands that a user calls, to pictures.
"""

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from jobs.motions import CoefficientsMotion, ControlsMotion, FramesMotion
from jobs.problems import ProblemError, ProblemType
from jobs.schemas import ImageOptions, MotionOptions, VideoOptions
from model.extractor.deep3d.coefficients import at_the_portraits_scale
from model.renderer.config import EditingConfig, RendererConfig, WarpingConfig
from model.renderer.network import PIRenderer, initialize
from model.renderer.official import official_keys
from model.weights.files import released_weights
from service.cli import app
from tests.support.deep3d import landmarks_68, made_network, mat_file, save_checkpoint
from tests.support.paths import GOLDEN
from worker.make.driving import DrivingVideo
from worker.make.faces import read_portrait
from worker.make.image import make_image
from worker.make.motion import extract_motion
from worker.make.render import make_video
from worker.models import Models
from worker.settings import WorkerSettings
from worker.workbench import Workbench

SPACE = "bfm-deep3d"
CROP = ImageOptions(paste_back=False)
pytestmark = pytest.mark.usefixtures("weights")


def authors_checkpoint(path: Path) -> Path:
    """A renderer's checkpoint of the authors' layout, small and made up; the stored one where that is at hand."""
    if (GOLDEN / "renderer_small_checkpoint.pt").is_file():
        return GOLDEN / "renderer_small_checkpoint.pt"
    config = RendererConfig(
        motion_dimension=73,
        descriptor_size=32,
        warping=WarpingConfig(base_channels=8, max_channels=32),
        editing=EditingConfig(base_channels=8, max_channels=32),
    )
    network = initialize(PIRenderer(config), torch.Generator().manual_seed(0))
    state = {}
    for key, value in network.state_dict().items():
        names = official_keys(key, config)
        for name, part in zip(names, value.chunk(len(names)), strict=True):
            layer_norm = value.dim() == 1 and (".model.1." in name or ".flow_out.0." in name)
            state[name] = part.view(-1, 1, 1) if layer_norm else part
    torch.save({"net_G_ema": state}, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as a user has them after both imports."""
    files, weights = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("weights")
    for name in ("open478", "extractor"):
        for path in released_weights().glob(f"{name}.*"):
            shutil.copy(path, weights)
    theirs = save_checkpoint(files / "epoch_20.pth", made_network())
    (files / "similarity_Lm3D_all.mat").write_bytes(mat_file("lm", landmarks_68()))
    face = ["--standard-face", str(files / "similarity_Lm3D_all.mat")]
    for arguments in (
        ["import", str(authors_checkpoint(files / "authors.pt")), "--motion-space", SPACE],
        ["import-deep3d", str(theirs), *face],
    ):
        result = CliRunner().invoke(app, ["weights", *arguments, "--out", str(weights)])
        assert result.exit_code == 0, result.output
    return weights


@pytest.fixture(scope="module")
def bench(folder: Path) -> Workbench:
    settings = WorkerSettings(weights_dir=folder, renderer=f"renderer-{SPACE}")
    return Workbench(Models.of(settings), settings)


@pytest.fixture(scope="module")
def driver(portrait: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another face: the portrait's mirror image, smaller and darker."""
    path = tmp_path_factory.mktemp("driver") / "driver.png"
    with Image.open(portrait) as photo:
        mirrored = photo.convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT).point(lambda level: level * 3 // 4)
    mirrored.resize((mirrored.width * 3 // 5, mirrored.height * 3 // 5)).save(path)
    return path


@pytest.fixture(scope="module")
def video(driver: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight frames in which the driver comes nearer."""
    path = tmp_path_factory.mktemp("video") / "driver.mp4"
    with Image.open(driver) as photo, av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = photo.width // 2 * 2, photo.height // 2 * 2, "yuv420p"
        for number in range(8):
            box = (2 * number, 2 * number, photo.width - 2 * number, photo.height - 2 * number)
            frame = photo.resize((stream.width, stream.height), box=box)
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode(None))
    return path


def rendered(bench: Workbench, portrait: Path, path: Path, **what: object) -> np.ndarray:
    make_image(bench, portrait, path, options=CROP, **what)  # type: ignore[arg-type]
    with Image.open(path) as picture:
        return np.array(picture)


@pytest.mark.slow
def test_a_photos_motion_is_read_and_rendered(bench: Workbench, portrait: Path, driver: Path, tmp_path: Path) -> None:
    pictures = []
    for number, source in enumerate((portrait, driver)):
        path = tmp_path / f"{number}.json"
        extract_motion(bench, source, path, video=False, options=MotionOptions())
        motion = CoefficientsMotion.model_validate_json(path.read_bytes())  # pixels of the crop are in its range
        assert (motion.space, len(motion.coefficients)) == (SPACE, 73)
        read = read_portrait(bench, source, None).face
        assert motion.coefficients == pytest.approx(read.motion.tolist(), abs=1e-4)
        assert motion.coefficients[71] == pytest.approx(128, abs=40)
        pictures.append(rendered(bench, portrait, tmp_path / f"{number}.png", motion=motion))
    assert pictures[0].shape == (256, 256, 3)
    assert (pictures[0] != pictures[1]).any()


def test_the_picture_is_that_of_the_plain_network(bench: Workbench, portrait: Path, tmp_path: Path) -> None:
    face = read_portrait(bench, portrait, None).face
    motion = CoefficientsMotion(space=SPACE, coefficients=face.motion.tolist())
    picture = rendered(bench, portrait, tmp_path / "a.png", motion=motion)
    network = bench.models.animator.engine.network
    source = torch.from_numpy(np.array(face.image)).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        image = network(source, torch.from_numpy(face.motion)[None, :, None].expand(-1, -1, 27)).image
    wanted = (image[0].permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(picture - wanted).mean() < 1.5  # a fast engine computes in fewer digits


def test_a_driving_image_is_taken_as_the_authors_take_it(
    bench: Workbench, portrait: Path, driver: Path, tmp_path: Path
) -> None:
    own, theirs = (read_portrait(bench, path, None).face.motion for path in (portrait, driver))
    expected = at_the_portraits_scale(theirs[None], own)[0]
    assert expected[70] == pytest.approx(own[70])
    driven = rendered(bench, portrait, tmp_path / "a.png", driving=driver)
    given = CoefficientsMotion(space=SPACE, coefficients=expected.tolist())
    assert np.abs(driven.astype(int) - rendered(bench, portrait, tmp_path / "b.png", motion=given)).max() <= 1


@pytest.mark.slow
def test_a_driving_video_is_read_frame_by_frame(bench: Workbench, portrait: Path, video: Path, tmp_path: Path) -> None:
    extract_motion(bench, video, tmp_path / "motion.json", video=True, options=MotionOptions())
    motion = FramesMotion.model_validate_json((tmp_path / "motion.json").read_bytes())
    frames = np.asarray(motion.frames, np.float32)
    assert (motion.space, frames.shape) == (SPACE, (8, 73))
    assert frames[-1, 70] < frames[0, 70]  # the face grew in a crop that stays
    subject = read_portrait(bench, portrait, None)

    def driven(**options: bool) -> np.ndarray:
        moving = DrivingVideo(bench, subject.face, video, VideoOptions.model_validate(options)).motions()
        return np.concatenate([part for part in moving if part is not None])

    absolute = driven(driving_relative=False)
    assert absolute == pytest.approx(at_the_portraits_scale(frames, subject.face.motion), abs=1e-3)
    relative = driven()
    assert relative[0, 64:] == pytest.approx(subject.face.motion[64:], rel=1e-4)
    assert relative[:, 70] / relative[0, 70] == pytest.approx(frames[:, 70] / frames[0, 70], rel=1e-3)
    for name, what in (("driven", {"driving": video}), ("frames", {"motion": motion})):
        made = make_video(bench, portrait, tmp_path / f"{name}.mp4", options=VideoOptions(), **what)
        assert made.frames == 8


def test_controls_and_speech_stay_refused(bench: Workbench, portrait: Path, speech: Path, tmp_path: Path) -> None:
    for refused, named in (
        (
            lambda: rendered(bench, portrait, tmp_path / "x.png", motion=ControlsMotion(controls={"yaw": 10})),
            "motion.space is",
        ),
        (
            lambda: make_video(bench, portrait, tmp_path / "x.mp4", audio=speech, options=VideoOptions()),
            "speech becomes a motion in the space 'open478'",
        ),
    ):
        with pytest.raises(ProblemError, match=named) as error:
            refused()
        assert error.value.problem_type is ProblemType.WRONG_MOTION_SPACE
        assert error.value.allowed == [SPACE]
        assert SPACE in error.value.detail


@pytest.mark.slow
def test_a_renderer_of_ours_is_given_motions_of_ours(folder: Path) -> None:
    (folder / "renderer-ours.json").write_text('{"motion_space": "open478"}')
    assert Models(directory=folder, renderer="renderer-ours").extractor.motion_space == "open478"


@pytest.mark.slow
def test_the_command_line_reads_and_drives_in_that_space(
    folder: Path, portrait: Path, driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIRENDERER_WEIGHTS_DIR", str(folder))
    monkeypatch.setenv("PIRENDERER_RENDERER", f"renderer-{SPACE}")
    for arguments in (
        ["extract", str(driver), "-o", str(tmp_path / "motion.json")],
        ["render", str(portrait), "--motion", str(tmp_path / "motion.json"), "-o", str(tmp_path / "a.png")],
        ["render", str(portrait), "--driving", str(driver), "-o", str(tmp_path / "b.png")],
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "motion.json").read_text())["space"] == SPACE
    for name in ("a.png", "b.png"):
        with Image.open(tmp_path / name) as picture, Image.open(portrait) as photo:
            assert picture.size == photo.size
