"""Motion on top of speech and of driving videos, and beside speech."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from jobs.motions import (
    CoefficientsMotion,
    ControlsMotion,
    FramesMotion,
    Keyframe,
    KeyframesMotion,
    Motion,
    NamedMotion,
)
from jobs.problems import ProblemError, ProblemType
from jobs.schemas import VideoOptions
from model.morphable.controls import Controls
from model.morphable.upper_face import upper_face
from tests.support.films import film, swaying
from worker.benchmark.inputs import long_speech
from worker.make.motions import resample
from worker.make.on_top import on_top
from worker.make.plan import plan_video
from worker.make.render import make_video
from worker.models import Models
from worker.settings import WorkerSettings
from worker.workbench import Workbench

LIDS = ("blink_left", "blink_right")


@dataclass
class Face:
    identity: np.ndarray
    motion: np.ndarray


FACE = Face(
    np.random.default_rng(0).normal(0, 0.5, 80).astype(np.float32),
    np.random.default_rng(1).normal(0, 0.1, 70).astype(np.float32),
)


@pytest.fixture(scope="module")
def controls(weights: None) -> Controls:
    return Controls.load()


def moved(length: int, seed: int = 2) -> np.ndarray:
    """A motion (T, 70) around the portrait's."""
    return (FACE.motion + np.random.default_rng(seed).normal(0, 0.05, (length, 70))).astype(np.float32)


def put(base: np.ndarray, motion: NamedMotion, controls: Controls, *, fps: float = 25, block: int = 250) -> np.ndarray:
    """A motion on top of what comes a block at a time, with a moment before each."""

    def blocks() -> Iterator[np.ndarray | None]:
        for first in range(0, len(base), block):
            yield None
            yield base[first : first + block]

    parts = list(on_top(blocks(), motion, FACE, controls, fps))
    assert parts[::2] == [None] * (len(parts) // 2)
    return np.concatenate([part for part in parts if part is not None])


def yaw(*keys: tuple[float, float]) -> KeyframesMotion:
    return KeyframesMotion(keyframes=[Keyframe(t=t, controls={"yaw": value}) for t, value in keys])


@pytest.mark.parametrize("relative", [True, False])
def test_controls_are_one_change_of_every_frame(controls: Controls, relative: bool) -> None:
    values = {"smile": 0.6, "yaw": 10.0, "scale": 1.1}
    base = moved(40)
    got = put(base, ControlsMotion(controls=values, relative=relative), controls)
    posed = controls.apply(FACE.identity, FACE.motion, values, relative=relative)
    np.testing.assert_allclose(got, base + (posed - FACE.motion), atol=1e-6)


@pytest.mark.parametrize("fps", [24, 25, 30, 60])
def test_keyframes_come_at_their_times_at_every_rate(controls: Controls, fps: int) -> None:
    base = np.repeat(FACE.motion[None], 4 * fps, axis=0)
    got = put(base, yaw((1, 2), (2, 20), (3, -10)), controls, fps=fps, block=7)
    turned = np.degrees(got[:, 64] - FACE.motion[64])
    held, after = turned[: fps + 1], turned[3 * fps :]
    assert held == pytest.approx(np.full(fps + 1, 2), abs=1e-4)  # before the first
    assert np.all(np.diff(turned[fps : 2 * fps + 1]) > 0)
    assert (turned.argmax(), turned.max()) == (2 * fps, pytest.approx(20, abs=1e-4))
    assert turned[fps + fps // 2] == pytest.approx(11, abs=1)
    assert after == pytest.approx(np.full(fps, -10), abs=1e-4)  # the last


def test_what_is_put_on_top_is_the_same_bit_for_bit_however_it_comes(controls: Controls) -> None:
    nod = KeyframesMotion(
        keyframes=[
            Keyframe(t=0.3, controls={"blink_left": 0.4, "jaw_open": 0.9}),
            Keyframe(t=1.7, controls={"pitch": -9, "blink_left": 1, "jaw_open": 1}),
            Keyframe(t=2.2, controls={"smile": 1}),
        ]
    )
    base = moved(90, 3) + np.random.default_rng(4).normal(0, 1, (90, 1)).astype(np.float32)
    whole = put(base, nod, controls)
    for block in (1, 7, 25):
        np.testing.assert_array_equal(put(base, nod, controls, block=block), whole)


def test_a_head_that_turns_leaves_the_face_as_it_is_bit_for_bit(controls: Controls) -> None:
    base = controls.apply(FACE.identity, FACE.motion, {"jaw_open": 0.7}) + 3 * (moved(60) - FACE.motion)
    head: tuple[NamedMotion, ...] = (
        yaw((0, 0), (0.9, 17), (1.6, -3)),
        ControlsMotion(controls={"yaw": 12, "pitch": 4}, relative=False),
    )
    for motion in head:
        got = put(base, motion, controls)
        np.testing.assert_array_equal(got[:, :64], base[:, :64])
        assert np.abs(got[:, 64] - base[:, 64]).max() > 0.1


def opening(controls: Controls, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """How far lips or lids are apart in each motion, in half sides of the crop."""
    upper, lower = {"jaw_open": (13, 14), "blink_left": (386, 374), "blink_right": (159, 145)}[name]

    def of(motions: np.ndarray) -> np.ndarray:
        shapes = [controls._shape(FACE.identity, row[:64]) for row in motions]
        return np.array([shape[lower, 1] - shape[upper, 1] for shape in shapes])

    return of


def test_a_smile_leaves_lips_and_lids_as_open_as_speech_has_them(controls: Controls) -> None:
    base = controls.apply(FACE.identity, FACE.motion, {"jaw_open": 0.3}) + (moved(30) - FACE.motion)
    got = put(base, ControlsMotion(controls={"smile": 0.6}), controls)
    assert np.abs(got - base).max() > 0.3
    for name in ("jaw_open", *LIDS):
        np.testing.assert_allclose(opening(controls, name)(got), opening(controls, name)(base), atol=2e-4)


def frames_of(controls: Controls, *poses: Mapping[str, float]) -> np.ndarray:
    return np.stack([controls.apply(FACE.identity, FACE.motion, values) for values in poses])


def test_a_blink_on_top_of_a_blink_does_not_turn_lids_inside_out(controls: Controls) -> None:
    base = frames_of(controls, *[{"blink_left": shut, "blink_right": shut} for shut in (0, 0.5, 1)])
    left, right = (opening(controls, name) for name in LIDS)
    got = put(base, ControlsMotion(controls={"blink_left": 1}), controls)
    np.testing.assert_allclose(left(got), 0, atol=1e-5)
    np.testing.assert_allclose(right(got), right(base), atol=1e-5)
    half = put(base, ControlsMotion(controls={"blink_left": 0.5}), controls)
    np.testing.assert_allclose(left(half), [left(base)[0] / 2, 0, 0], atol=1e-5)
    # what speech or a driver alone does stays: eyes that are pressed together
    pressed = base[:1] + 1.3 * (base[2:] - base[:1])
    np.testing.assert_allclose(left(put(pressed, ControlsMotion(controls={"blink_left": 1}), controls)), left(pressed))


def test_an_open_jaw_on_top_of_an_open_mouth_is_no_wider_than_a_jaw_opens(controls: Controls) -> None:
    base = frames_of(controls, {}, {"jaw_open": 0.3}, {"jaw_open": 0.8})
    lips = opening(controls, "jaw_open")
    closed, wide = lips(frames_of(controls, {}, {"jaw_open": 1}))
    got = lips(put(base, ControlsMotion(controls={"jaw_open": 0.4}), controls))
    assert (got - closed) / (wide - closed) == pytest.approx([0.4, 0.7, 1], abs=1e-3)
    shouts = base[:1] + 1.5 * (base[2:] - base[:1])  # as speech may by itself
    assert lips(put(shouts, ControlsMotion(controls={"jaw_open": 1}), controls)) == pytest.approx(lips(shouts))


def test_lips_that_speech_closes_do_not_pass_through_each_other(controls: Controls) -> None:
    portrait = Face(FACE.identity, controls.apply(FACE.identity, FACE.motion, {"jaw_open": 0.6}))
    spoken = np.stack([portrait.motion, FACE.motion])  # the portrait's lips are apart; a word closes them
    rest = ControlsMotion(controls={"smile": 0.2}, relative=False)  # it takes away that they are apart
    (got,) = on_top(iter([spoken]), rest, portrait, controls, 25)
    assert got is not None
    lips = opening(controls, "jaw_open")
    assert lips(portrait.motion[None]) > 0.05
    assert lips(got)[1] >= min(0, lips(spoken)[1], lips(got)[0]) - 1e-5


SWAY = KeyframesMotion(
    keyframes=[Keyframe(t=t, controls=values) for t, values in ((0, {}), (0.4, {"yaw": 10, "smile": 0.5}), (1, {}))]
)


@pytest.fixture
def bench(tiny: dict[str, str], speech_weights: None) -> Workbench:
    settings = WorkerSettings(weights_dir=Path(tiny["PIRENDERER_WEIGHTS_DIR"]), engine="torch")
    return Workbench(Models.of(settings), settings)


def planned(bench: Workbench, portrait: Path, **by: Any) -> tuple[np.ndarray, np.ndarray]:
    """The motion (T, 70) that a video is drawn by, and the portrait's own (70,)."""
    by.setdefault("options", VideoOptions(seed=5))
    plan = plan_video(bench, portrait, **by)
    motions = np.concatenate([segment.motion[segment.own] for segment in plan if segment is not None])
    assert plan.frames == len(motions)
    return motions, plan.head.face.motion


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"still": True}, {"fps": 30}])
def test_speech_goes_on_under_what_is_on_top(
    bench: Workbench, portrait: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    by = {"audio": long_speech(tmp_path, 1.6), "options": VideoOptions(seed=5, **options)}
    fps = options.get("fps", 25)
    base, own = planned(bench, portrait, **by)
    got, _ = planned(bench, portrait, **by, motion=yaw((0, 0), (0.4, 10), (1, 0)))
    np.testing.assert_array_equal(got[:, :64], base[:, :64])
    turned = np.degrees(got[:, 64] - base[:, 64])
    assert (turned.argmax(), turned.max()) == (0.4 * fps, pytest.approx(10, abs=1e-3))
    np.testing.assert_allclose(turned[fps:], 0, atol=1e-5)
    if options.get("still"):
        np.testing.assert_allclose(got[:, 65:], np.repeat(own[None, 65:], len(got), axis=0), atol=1e-6)
    smiling, _ = planned(bench, portrait, **by, motion=ControlsMotion(controls={"smile": 0.6}))
    np.testing.assert_array_equal(smiling[:, 64:], base[:, 64:])
    assert len({*np.round(np.abs(smiling - base).max(axis=1), 4)}) == 1


@pytest.mark.slow
def test_frames_beside_speech_hold_the_head_and_speech_the_mouth(
    bench: Workbench, portrait: Path, tmp_path: Path
) -> None:
    by = {"audio": long_speech(tmp_path, 1.6)}
    base, own = planned(bench, portrait, **by)
    rows = (own + np.cumsum(np.random.default_rng(0).normal(0, 0.01, (24, 70)), axis=0)).astype(np.float32)
    motion = FramesMotion(space="open478", fps=30, frames=rows.tolist())
    got, _ = planned(bench, portrait, **by, motion=motion)
    there = resample(rows, 30, 25)
    back = np.concatenate([there, there[-2:0:-1], there])[: len(got)]
    np.testing.assert_array_equal(got[:, 64:], back[:, 64:])
    change, spoken, held = (part[:, :64] - own[:64] for part in (got, base, back))
    np.testing.assert_allclose(upper_face(change), upper_face(held), atol=1e-3)
    np.testing.assert_allclose(change - upper_face(change), spoken - upper_face(spoken), atol=1e-3)
    pose = CoefficientsMotion(space="open478", coefficients=rows[0].tolist())
    np.testing.assert_array_equal(
        planned(bench, portrait, **by, motion=pose)[0][:, 64:], rows[:1].repeat(40, 0)[:, 64:]
    )


@pytest.mark.slow
@pytest.mark.parametrize("spoken", [False, True])
def test_controls_are_put_on_top_of_a_driving_video(
    bench: Workbench, portrait: Path, astronaut: Path, tmp_path: Path, spoken: bool
) -> None:
    pictures = swaying(np.asarray(Image.open(astronaut)), 30)
    by: dict[str, Any] = {"driving": film(tmp_path / "driver.mp4", pictures)}
    if spoken:
        by["audio"] = long_speech(tmp_path, 1.2)
    base, _ = planned(bench, portrait, **by)
    assert len(base) == 30
    turned, _ = planned(bench, portrait, **by, motion=yaw((0.2, 0), (0.8, 6)))
    np.testing.assert_array_equal(turned[:, :64], base[:, :64])
    np.testing.assert_array_equal(turned[:6, 64:], base[:6, 64:])
    np.testing.assert_allclose(np.degrees(turned[20:, 64] - base[20:, 64]), 6, atol=0.1)


@pytest.mark.parametrize(
    ("motion", "problem", "detail"),
    [
        (
            FramesMotion(space="open478", frames=[[0.0] * 70]),
            ProblemType.INVALID_MOTION,
            "a video with a driving video needs a motion of controls or keyframes, got frames",
        ),
        (
            ControlsMotion(controls={"smile": 1.2}),
            ProblemType.INVALID_MOTION,
            "motion.controls.smile is 1.2; allowed is 0 to 1 share of full reach",
        ),
    ],
)
def test_what_cannot_be_beside_a_driving_video_is_refused_before_it_is_read(
    bench: Workbench, tmp_path: Path, motion: Motion, problem: ProblemType, detail: str
) -> None:
    nowhere = tmp_path / "nothing"
    with pytest.raises(ProblemError) as caught:
        plan_video(bench, nowhere, driving=nowhere, motion=motion, options=VideoOptions())
    assert (caught.value.problem_type, caught.value.detail) == (problem, detail)


@pytest.mark.slow
def test_a_video_speaks_with_keyframes_on_top(bench: Workbench, portrait: Path, tmp_path: Path) -> None:
    by: dict[str, Any] = {
        "audio": long_speech(tmp_path, 1.2),
        "motion": SWAY,
        "options": VideoOptions(seed=5, paste_back=False),
    }
    made = make_video(bench, portrait, tmp_path / "made.mp4", **by)
    assert (made.frames, made.duration) == (30, 1.2)
    with av.open(str(tmp_path / "made.mp4")) as container:
        assert len(list(container.decode(video=0))) == 30
        assert [stream.codec_context.name for stream in container.streams.audio] == ["aac"]
