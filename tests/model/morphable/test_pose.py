"""Angles have the signs the API promises, and pose is found in closed form."""

import pytest
import torch

from model.morphable.pose import rotation_angles, rotation_matrix, similarity

NOSE = torch.tensor([0.0, 0.0, -1.0])  # towards the camera
TOP = torch.tensor([0.0, -1.0, 0.0])


@pytest.mark.parametrize(
    ("angles", "point", "axis", "sign"),
    [
        ((0.3, 0.0, 0.0), NOSE, 0, 1),  # yaw: the nose moves to the viewer's right
        ((0.0, 0.3, 0.0), NOSE, 1, -1),  # pitch: the nose moves up, y is down
        ((0.0, 0.0, 0.3), TOP, 0, 1),  # roll: clockwise, the top of the head moves right
    ],
)
def test_signs(angles: tuple[float, float, float], point: torch.Tensor, axis: int, sign: int) -> None:
    moved = rotation_matrix(torch.tensor(angles)) @ point
    assert sign * float(moved[axis] - point[axis]) == pytest.approx(torch.tensor(0.3).sin().item(), abs=1e-6)


def test_angles_come_back() -> None:
    angles = (torch.rand(200, 3, generator=torch.Generator().manual_seed(0)) - 0.5) * torch.tensor([2.8, 2.8, 6.0])
    torch.testing.assert_close(rotation_angles(rotation_matrix(angles)), angles, atol=2e-5, rtol=0)


def test_similarity_recovers_scale_rotation_and_translation() -> None:
    generator = torch.Generator().manual_seed(1)
    source = torch.randn(5, 40, 3, generator=generator)
    rotation = rotation_matrix(torch.rand(5, 3, generator=generator))
    scale, translation = torch.rand(5, generator=generator) + 0.5, torch.randn(5, 3, generator=generator)
    target = scale.view(-1, 1, 1) * source @ rotation.transpose(1, 2) + translation.unsqueeze(1)
    found = similarity(source, target, torch.rand(40, generator=generator))
    for got, wanted in zip(found, (scale, rotation, translation), strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=0)


def test_similarity_never_reflects() -> None:
    source = torch.randn(1, 30, 3, generator=torch.Generator().manual_seed(2))
    _, rotation, _ = similarity(source, source * torch.tensor([-1.0, 1.0, 1.0]), torch.ones(30))
    assert torch.det(rotation[0]).item() == pytest.approx(1.0, abs=1e-4)
