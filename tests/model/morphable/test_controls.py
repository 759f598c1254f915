"""Every control moves its own measure of the face the right way, and leaves the others alone."""

import math

import numpy as np
import pytest
import torch

from model.errors import ControlError
from model.morphable import MorphableModel
from model.morphable.basis import HALF_CROP
from model.morphable.controls import MEASURES, OPPOSES, Controls, fit_control_directions
from model.morphable.pose import rotation_angles, similarity

HALF = torch.tensor([HALF_CROP, HALF_CROP, 0.0])
REST_IDENTITY, REST = np.zeros(80, np.float32), np.zeros(70, np.float32)


@pytest.fixture(scope="module")
def controls(morphable: MorphableModel) -> Controls:
    return Controls.load(morphable)


ANGLE_NAMES, PLACES = ("yaw", "pitch", "roll"), ("x", "y", "scale")
ALL = (*ANGLE_NAMES, *PLACES, *(measure.name for measure in MEASURES))
UNPOSED = {  # what a ruler laid on the unposed face says, by MediaPipe's points: 61 and 291 are the mouth's corners
    "jaw_open": lambda p: p[14, 1] - p[13, 1],
    "smile": lambda p: (p[0, 1] + p[17, 1] - p[61, 1] - p[291, 1]) / 2,
    "frown": lambda p: (p[61, 1] + p[291, 1] - p[0, 1] - p[17, 1]) / 2,
    "pucker": lambda p: p[61, 0] - p[291, 0],
    "blink_left": lambda p: p[386, 1] - p[374, 1],
    "blink_right": lambda p: p[159, 1] - p[145, 1],
    "brow_raise": lambda p: p[[33, 133, 263, 362], 1].mean() - p[[105, 334], 1].mean(),
    "brow_lower": lambda p: p[[105, 334], 1].mean() - p[[33, 133, 263, 362], 1].mean(),
    "gaze_x": lambda p: p[[468, 473], 0].mean() - p[[33, 133, 263, 362], 0].mean(),
    "gaze_y": lambda p: p[[33, 133, 263, 362], 1].mean() - p[[468, 473], 1].mean(),
}


def geometry(morphable: MorphableModel, motion: np.ndarray) -> dict[str, float]:
    """Each control's measure of the landmarks of a motion: the pose that lays the resting face on them, in degrees and
    in face widths, and distances on the face with that pose taken back."""
    rest = morphable.shape(torch.zeros(1, 80), torch.zeros(1, 64))
    points = (morphable.landmarks(torch.zeros(1, 80), torch.from_numpy(motion[None])) - HALF) / HALF_CROP
    scale, rotation, offset = similarity(rest, points, morphable.pose_weights)
    unposed = (((points - offset[:, None]) @ rotation) / scale[:, None, None])[0].numpy()
    width = float(rest[0, 454, 0] - rest[0, 234, 0])
    pose = dict(zip(ANGLE_NAMES, np.degrees(rotation_angles(rotation)[0].numpy()).tolist(), strict=True))
    place = {"x": float(offset[0, 0]) / width, "y": -float(offset[0, 1]) / width, "scale": float(scale[0])}
    return pose | place | {name: float(measure(unposed)) for name, measure in UNPOSED.items()}


@pytest.fixture(scope="module")
def ranges(controls: Controls, morphable: MorphableModel) -> dict[str, float]:
    """How far each control moves its own measure from rest to its upper end."""
    rest = geometry(morphable, REST)
    return {
        name: geometry(
            morphable, controls.apply(REST_IDENTITY, REST, {name: controls.specifications[name]["maximum"]})
        )[name]
        - rest[name]
        for name in ALL
    }


def test_every_control_is_measured(controls: Controls, ranges: dict[str, float]) -> None:
    assert set(controls.specifications) == set(ALL)
    assert min(ranges.values()) > 0


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("end", ["minimum", "neutral", "maximum"])
def test_a_control_moves_its_own_measure_and_no_other(
    name: str, end: str, controls: Controls, morphable: MorphableModel, ranges: dict[str, float]
) -> None:
    """Every other measure moves by less than 15 % of its own range.

    Opposites are one measure seen from both sides, and what a control cannot do at all is not its range: a smile widens
    the mouth, which no pucker does.
    """
    specification = controls.specifications[name]
    value, neutral = specification[end], specification["neutral"]
    rest = geometry(morphable, REST)
    moved = geometry(morphable, controls.apply(REST_IDENTITY, REST, {name: value}))
    share = (value - neutral) / (specification["maximum"] - neutral)
    assert moved[name] - rest[name] == pytest.approx(share * ranges[name], rel=1e-3, abs=1e-4)
    opposite = {OPPOSES.get(name), *(other for other, opposed in OPPOSES.items() if opposed == name)}
    for other in set(ALL) - {name} - opposite:
        change = moved[other] - rest[other]
        goes_one_way = controls.specifications[other]["minimum"] == controls.specifications[other]["neutral"]
        assert (change if goes_one_way else abs(change)) < 0.15 * ranges[other], other


def test_a_smile_widens_the_mouth(controls: Controls, morphable: MorphableModel) -> None:
    smiling = geometry(morphable, controls.apply(REST_IDENTITY, REST, {"smile": 1.0}))
    assert smiling["pucker"] < geometry(morphable, REST)["pucker"] - 0.02


@pytest.mark.parametrize(("control", "opposed"), OPPOSES.items())
def test_opposites_go_opposite_ways(control: str, opposed: str, controls: Controls, morphable: MorphableModel) -> None:
    rest = geometry(morphable, REST)[opposed]
    up, down = (
        geometry(morphable, controls.apply(REST_IDENTITY, REST, {name: 1.0}))[opposed] - rest
        for name in (opposed, control)
    )
    assert up > 0
    assert -2 * up < down < -0.1 * up


def test_directions_of_opposites_are_one_line(morphable: MorphableModel) -> None:
    generator = torch.Generator().manual_seed(0)
    clips = [torch.randn(50, 64, generator=generator) for _ in range(4)]
    directions = fit_control_directions(morphable, clips)
    assert set(directions) == {measure.name for measure in MEASURES}
    raise_, lower = (np.array(directions[name]) for name in ("brow_raise", "brow_lower"))
    assert raise_ @ lower == pytest.approx(-np.linalg.norm(raise_) * np.linalg.norm(lower), rel=1e-4)


def test_blink_closes_whatever_the_portrait(controls: Controls, morphable: MorphableModel) -> None:
    generator = np.random.default_rng(3)
    for _ in range(5):
        identity = generator.normal(size=80).astype(np.float32) * 0.7
        motion = np.r_[generator.normal(size=64) * 0.5, np.zeros(6)].astype(np.float32)
        closed = controls.blink(identity, motion, 1.0)
        shape = morphable.shape(torch.from_numpy(identity[None]), torch.from_numpy(closed[None, :64]))[0]
        for upper, lower in ((386, 374), (159, 145)):
            assert abs(float(shape[lower, 1] - shape[upper, 1])) < 0.005  # of half a crop: 0.6 px


@pytest.mark.parametrize(
    ("name", "index", "value", "wanted"), [("yaw", 64, 20, 20), ("pitch", 65, -5, -5), ("roll", 66, 10, 10)]
)
def test_angles_are_degrees(name: str, index: int, value: float, wanted: float, controls: Controls) -> None:
    own = REST.copy()
    own[index] = 0.1
    assert controls.apply(REST_IDENTITY, own, {name: value})[index] == pytest.approx(math.radians(wanted) + 0.1)
    assert controls.apply(REST_IDENTITY, own, {name: value}, relative=False)[index] == pytest.approx(
        math.radians(wanted)
    )


def test_offsets_are_face_widths(controls: Controls, morphable: MorphableModel) -> None:
    moved = controls.apply(REST_IDENTITY, REST, {"x": 0.5, "y": 0.25, "scale": 1.0})
    rest_points, points = morphable.landmarks(torch.zeros(2, 80), torch.from_numpy(np.stack([REST, moved])))
    width = float(rest_points[454, 0] - rest_points[234, 0])
    shift = (points - rest_points).mean(0) / width
    assert shift[0] == pytest.approx(0.5, abs=0.01)
    assert shift[1] == pytest.approx(-0.25, abs=0.01)  # up


def test_absolute_expression_starts_from_rest(controls: Controls) -> None:
    own = np.ones(70, np.float32)
    absolute = controls.apply(REST_IDENTITY, own, {"smile": 0.0}, relative=False)
    assert not absolute[:64].any()
    assert absolute[64:].tolist() == own[64:].tolist()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"yawn": 1.0}, "unknown control 'yawn'; allowed are yaw, pitch"),
        ({"smile": 1.5}, "control smile is 1.5; allowed is 0.0 to 1.0"),
        ({"yaw": float("nan")}, "control yaw is nan"),
    ],
)
def test_bad_values_are_named(values: dict[str, float], text: str, controls: Controls) -> None:
    with pytest.raises(ControlError, match=text):
        controls.apply(REST_IDENTITY, REST, values)
