"""Every control moves its own measure of the face the right way, and leaves the others alone."""

import math

import numpy as np
import pytest
import torch

from model.errors import ControlError
from model.morphable import MorphableModel
from model.morphable.controls import FREE, MEASURES, OPPOSES, Controls, fit_control_directions

REST_IDENTITY, REST = np.zeros(80, np.float32), np.zeros(70, np.float32)


@pytest.fixture(scope="module")
def controls(morphable: MorphableModel) -> Controls:
    return Controls.load(morphable)


def measures(morphable: MorphableModel, motion: np.ndarray) -> dict[str, float]:
    shape = morphable.shape(torch.zeros(1, 80), torch.from_numpy(motion[None, :64])).flatten()
    return {measure.name: float(measure.vector() @ shape) for measure in MEASURES}


@pytest.mark.parametrize("name", [measure.name for measure in MEASURES])
@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_expression_controls_are_independent(
    name: str, value: float, controls: Controls, morphable: MorphableModel
) -> None:
    """A control at either end moves its own measure, and every other by less than 15 % of that one's range."""
    value = max(value, controls.specifications[name]["minimum"])
    rest = measures(morphable, REST)
    reach = {
        m.name: measures(morphable, controls.apply(REST_IDENTITY, REST, {m.name: 1.0}))[m.name] - rest[m.name]
        for m in MEASURES
    }
    assert reach[name] > 0
    moved = measures(morphable, controls.apply(REST_IDENTITY, REST, {name: value}))
    assert moved[name] - rest[name] == pytest.approx(value * reach[name], rel=1e-3, abs=1e-6)
    antagonists = {OPPOSES.get(name), *(other for other, opposed in OPPOSES.items() if opposed == name)}
    for other, full in reach.items():
        if other not in {name} | antagonists | FREE.get(name, frozenset()):
            if OPPOSES.get(other) in FREE.get(name, frozenset()):
                continue  # the same measure, the other way
            assert abs(moved[other] - rest[other]) < 0.15 * abs(full), other


@pytest.mark.parametrize(("control", "opposed"), OPPOSES.items())
def test_opposites_go_opposite_ways(control: str, opposed: str, controls: Controls, morphable: MorphableModel) -> None:
    rest = measures(morphable, REST)[opposed]
    up, down = (
        measures(morphable, controls.apply(REST_IDENTITY, REST, {name: 1.0}))[opposed] - rest
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
