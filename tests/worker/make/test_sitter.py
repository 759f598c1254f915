"""What a portrait alone decides is made once, for all jobs that follow each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from jobs.motions import ControlsMotion, Keyframe, KeyframesMotion
from jobs.schemas import ImageOptions, VideoOptions
from model.renderer.network import PortraitState
from worker.make.faces import read_portrait
from worker.make.image import make_image
from worker.make.plan import Head, plan_video
from worker.make.render import make_video
from worker.models import Models
from worker.settings import WorkerSettings
from worker.workbench import PreparedPortrait, Workbench

TURNED = ControlsMotion(controls={"yaw": 12, "jaw_open": 0.8})
SWAY = KeyframesMotion(keyframes=[Keyframe(t=t, controls={"jaw_open": t}) for t in (0, 0.2)])


@pytest.fixture(scope="module")
def tiny_models(tiny: dict[str, str]) -> Models:
    return Models(directory=Path(tiny["PIRENDERER_WEIGHTS_DIR"]), engine="torch")


def fresh(models: Models, owner: str = "") -> Workbench:
    return Workbench(models, WorkerSettings(), owner=owner)


@contextmanager
def prepared_faces(models: Models) -> Iterator[list[Tensor]]:
    """The pictures whose state the engine is asked for."""
    engine, asked = models.animator.engine, list[Tensor]()
    prepare = engine.prepare

    def noted(source: Tensor) -> PortraitState:
        asked.append(source)
        return prepare(source)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "prepare", noted)
        yield asked


def image(bench: Workbench, portrait: Path, output: Path) -> bytes:
    make_image(bench, portrait, output, motion=TURNED, options=ImageOptions(format="png"))
    return output.read_bytes()


def video(bench: Workbench, portrait: Path, output: Path) -> bytes:
    make_video(bench, portrait, output, motion=SWAY, options=VideoOptions(paste_back=False, size=64))
    return output.read_bytes()


@pytest.mark.slow
def test_jobs_of_one_portrait_prepare_it_once_and_make_what_they_make_alone(
    tiny_models: Models, portrait: Path, tmp_path: Path
) -> None:
    alone = [make(fresh(tiny_models), portrait, tmp_path / "alone") for make in (image, video)]
    bench = fresh(tiny_models)
    with prepared_faces(tiny_models) as prepared:
        made = [make(bench, portrait, tmp_path / "made") for make in (image, video, image, video)]
    assert len(prepared) == 1
    assert made == alone + alone


@pytest.mark.slow
def test_each_owner_and_each_face_has_its_own(tiny_models: Models, portrait: Path, tmp_path: Path) -> None:
    person = np.asarray(Image.open(portrait).convert("RGB"))
    two = tmp_path / "two.png"
    Image.fromarray(np.hstack([person, person[:, ::-1]])).save(two)
    mine = fresh(tiny_models, "me")
    theirs = replace(mine, owner="them")

    def prepare(bench: Workbench, index: int) -> PreparedPortrait:
        subject = read_portrait(bench, two, index)
        assert subject.prepared.face is subject.face
        return subject

    with prepared_faces(tiny_models) as prepared:
        first, other, another = prepare(mine, 0), prepare(mine, 1), prepare(theirs, 0)
        assert len(prepared) == 3
        assert not np.array_equal(prepared[0], prepared[1])
        assert [prepare(mine, 0), prepare(mine, 1), prepare(theirs, 0)] == [first, other, another]
        assert len(prepared) == 3


def test_the_face_of_a_plan_is_the_one_that_is_animated(tiny_models: Models, portrait: Path, tmp_path: Path) -> None:
    bench = fresh(tiny_models)
    plan = plan_video(bench, portrait, motion=SWAY, options=VideoOptions())
    plan.head.save(tmp_path / "head")
    same = Head.load(tmp_path / "head").face
    own = read_portrait(bench, portrait, None)
    assert read_portrait(bench, portrait, None, face=same) is own, "its preparation is shared"
    moved = replace(same, landmarks=same.landmarks + np.float32(0.01))  # as a machine of another kind finds it
    given = read_portrait(bench, portrait, None, face=moved)
    assert given.prepared.face is moved
    assert given.photo is own.photo
    assert not np.array_equal(given.prepared.heads.skin.landmarks, own.prepared.heads.skin.landmarks)  # type: ignore[union-attr]
