"""The prior flow moves what moved, and nothing else."""

import pytest
import torch

from model.morphable import MorphableModel
from model.renderer.prior import prior_flow, with_scalp


@pytest.fixture(scope="module")
def rest(morphable: MorphableModel) -> torch.Tensor:
    return morphable.landmarks(torch.zeros(1, 80), torch.zeros(1, 70))


def moved(morphable: MorphableModel, index: int, value: float) -> torch.Tensor:
    motion = torch.zeros(1, 70)
    motion[0, index] = value
    return morphable.landmarks(torch.zeros(1, 80), motion)


def test_no_motion_is_no_flow(rest: torch.Tensor) -> None:
    assert prior_flow(rest, rest, size=256).abs().max() == 0


def test_a_shift_to_the_right_looks_back_to_the_left(rest: torch.Tensor, morphable: MorphableModel) -> None:
    flow = prior_flow(rest, moved(morphable, 68, 0.1), size=256)  # 12.8 px to the right: 3.2 of the flow map
    assert flow.shape == (1, 2, 64, 64)
    nose = rest[0, 1, :2] / 4
    assert flow[0, 0, int(nose[1]), int(nose[0]) + 3].item() == pytest.approx(-3.2, abs=0.2)
    assert flow[0, 1].abs().max() < 1e-4


def test_the_background_stays(rest: torch.Tensor, morphable: MorphableModel) -> None:
    flow = prior_flow(rest, moved(morphable, 64, 0.5), size=256).abs()
    assert flow[0, :, 0, 0].max() < 0.2
    assert flow[0, :, 32, 32].max() > 4


def test_flow_counts_in_its_own_pixels(rest: torch.Tensor, morphable: MorphableModel) -> None:
    target = moved(morphable, 64, 0.3)
    large, small = prior_flow(rest, target, size=256), prior_flow(rest, target, size=128)
    shrunk = torch.nn.functional.avg_pool2d(large, 2) / 2
    assert (shrunk - small).abs().mean() < 0.05


def test_the_scalp_turns_with_the_head(rest: torch.Tensor, morphable: MorphableModel) -> None:
    top = with_scalp(rest)[0, 478:]
    assert top[:, 1].min() < rest[0, :, 1].min() - 20  # above the forehead
    rolled = with_scalp(moved(morphable, 66, 0.3))[0, 478:]
    assert (rolled - top)[top[:, 1].argmin(), 0] > 20  # clockwise: to the right
