"""The prior flow moves what moved, and nothing else."""

import numpy as np
import pytest
import torch

from model.morphable import MorphableModel
from model.morphable.controls import Controls
from model.renderer.prior import Prior, rim_and_scalp


@pytest.fixture(scope="module")
def rest(morphable: MorphableModel) -> torch.Tensor:
    return morphable.landmarks(torch.zeros(1, 80), torch.zeros(1, 70))


def moved(morphable: MorphableModel, index: int, value: float) -> torch.Tensor:
    motion = torch.zeros(1, 70)
    motion[0, index] = value
    return morphable.landmarks(torch.zeros(1, 80), motion)


@pytest.fixture(scope="module")
def prior(morphable: MorphableModel) -> Prior:
    return Prior(morphable)


def test_no_motion_is_no_flow(rest: torch.Tensor, prior: Prior) -> None:
    assert prior.flow(rest, rest, size=256).abs().max() < 1e-3


def test_a_shift_to_the_right_looks_back_to_the_left(
    rest: torch.Tensor, morphable: MorphableModel, prior: Prior
) -> None:
    flow = prior.flow(rest, moved(morphable, 68, 0.1), size=256)  # 12.8 px to the right: 6.4 of the map
    assert flow.shape == (1, 2, 128, 128)
    nose = rest[0, 1, :2] / 2
    assert flow[0, 0, int(nose[1]), int(nose[0]) + 6].item() == pytest.approx(-6.4, abs=0.01)
    assert flow[0, 1].abs().max() < 1e-3


def test_the_background_stays(rest: torch.Tensor, morphable: MorphableModel, prior: Prior) -> None:
    flow = prior.flow(rest, moved(morphable, 64, 0.5), size=256).abs()
    assert flow[0, :, 0, 0].max() < 0.1 * flow[0, :, 64, 64].max()


def test_flow_counts_in_its_own_pixels(rest: torch.Tensor, morphable: MorphableModel, prior: Prior) -> None:
    target = moved(morphable, 64, 0.3)
    large, small = prior.flow(rest, target, size=256), prior.flow(rest, target, size=128)
    shrunk = torch.nn.functional.avg_pool2d(large, 2) / 2
    assert (shrunk - small).abs().mean() < 0.05


def test_closed_lids_cover_the_eye(rest: torch.Tensor, morphable: MorphableModel, prior: Prior) -> None:
    motion = Controls.load(morphable).blink(np.zeros(80, np.float32), np.zeros(70, np.float32), 1.0)
    target = morphable.landmarks(torch.zeros(1, 80), torch.from_numpy(motion[None]))
    # Where the middle of the open eye was, skin from above the upper lid is now seen.
    eye = (rest[0, 159, :2] + rest[0, 145, :2]) / 2
    column, row = (eye / 2).int().tolist()
    looked_up = -2 * prior.flow(rest, target, size=256)[0, 1, row, column]
    assert looked_up > 0.8 * (eye[1] - rest[0, 159, 1])


def test_the_nose_hides_the_cheek_behind_it(rest: torch.Tensor, morphable: MorphableModel, prior: Prior) -> None:
    target = moved(morphable, 64, 0.6)
    column, row = (target[0, 1, :2] / 2).int().tolist()  # the tip of the nose in the turned picture
    flow = prior.flow(rest, target, size=256)[0, :, row, column]
    seen = (torch.tensor([column + 0.5, row + 0.5]) + flow) * 2
    assert (seen - rest[0, 1, :2]).norm() < 4


def test_the_scalp_turns_with_the_head(rest: torch.Tensor, morphable: MorphableModel) -> None:
    top = rim_and_scalp(rest)[0, 36:]
    assert top[:, 1].min() < rest[0, :, 1].min() - 20  # above the forehead
    rolled = rim_and_scalp(moved(morphable, 66, 0.3))[0, 36:]
    assert (rolled - top)[top[:, 1].argmin(), 0] > 20  # clockwise: to the right


def test_a_turned_head_is_no_sliding_face(rest: torch.Tensor, morphable: MorphableModel, prior: Prior) -> None:
    """Jaws lie deeper than noses and move less; what is beside them goes with them, not with the nose."""
    target = moved(morphable, 64, 0.35)
    flow = -2 * prior.flow(rest, target, size=256)[0, 0]  # to the right
    jaw = (target[0, (58, 172, 136), :2] / 2).int()  # on the left, as seen
    beside, asked = flow[jaw[:, 1], jaw[:, 0] - 3], (target - rest)[0, (58, 172, 136), 0]
    assert (beside - asked).abs().max() < 1.5
