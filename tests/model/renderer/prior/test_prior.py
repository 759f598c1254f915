"""The prior moves what moved, and nothing else."""

import numpy as np
import pytest
import torch

from model.morphable import MorphableModel
from model.morphable.controls import Controls
from model.renderer.guide import DOUBTS
from model.renderer.prior.prior import Heads, Prior

YAW, ROLL, SHIFT = 64, 66, 68
OWN = torch.zeros(1, 70)


@pytest.fixture(scope="module")
def rest(morphable: MorphableModel) -> torch.Tensor:
    return morphable.landmarks(torch.zeros(1, 80), OWN)


@pytest.fixture(scope="module")
def prior(morphable: MorphableModel) -> Prior:
    return Prior.load(morphable)


@pytest.fixture(scope="module")
def heads(prior: Prior, rest: torch.Tensor) -> Heads:
    """Of a grey picture: nearness to the face is all there is to go by."""
    return prior.heads(torch.zeros(1, 3, 256, 256), rest, OWN)


def motion(index: int, value: float) -> torch.Tensor:
    moved = torch.zeros(1, 70)
    moved[0, index] = value
    return moved


def landmarks(morphable: MorphableModel, motions: torch.Tensor) -> torch.Tensor:
    return morphable.landmarks(torch.zeros(1, 80), motions)


def test_no_motion_is_no_flow(rest: torch.Tensor, prior: Prior, heads: Heads) -> None:
    assert prior.guide(heads, rest, OWN, size=256).flow.abs().max() < 1e-3


def test_a_shift_to_the_right_looks_back_to_the_left(
    rest: torch.Tensor, morphable: MorphableModel, prior: Prior, heads: Heads
) -> None:
    shifted = motion(SHIFT, 0.1)  # 12.8 px to the right
    flow = prior.guide(heads, landmarks(morphable, shifted), shifted, size=256).flow
    assert flow.shape == (1, 2, 256, 256)
    nose = rest[0, 1, :2]
    assert flow[0, 0, int(nose[1]), int(nose[0]) + 12].item() == pytest.approx(-12.8, abs=0.01)
    assert flow[0, 1].abs().max() < 1e-3


def test_the_background_stays(morphable: MorphableModel, prior: Prior, heads: Heads) -> None:
    turned = motion(YAW, 0.5)
    flow = prior.guide(heads, landmarks(morphable, turned), turned, size=256).flow.abs()
    assert flow[0, :, 0, 0].max() < 0.1 * flow[0, :, 128, 128].max()


def test_flow_counts_in_its_own_pixels(morphable: MorphableModel, prior: Prior, heads: Heads) -> None:
    turned = motion(YAW, 0.3)
    target = landmarks(morphable, turned)
    large, small = (prior.guide(heads, target, turned, size=size).flow for size in (256, 128))
    shrunk = torch.nn.functional.avg_pool2d(large, 2) / 2
    assert (shrunk - small).abs().mean() < 0.05


def test_one_skin_serves_many_frames(morphable: MorphableModel, prior: Prior, heads: Heads) -> None:
    both = torch.cat([motion(YAW, 0.3), motion(ROLL, 0.2)])
    together = prior.guide(heads, landmarks(morphable, both), both, size=256).flow
    apart = [prior.guide(heads, landmarks(morphable, one[None]), one[None], size=256).flow for one in both]
    assert torch.allclose(together, torch.cat(apart), atol=1e-4)


def test_closed_lids_cover_the_eye(rest: torch.Tensor, morphable: MorphableModel, prior: Prior, heads: Heads) -> None:
    closed = Controls.load(morphable).blink(np.zeros(80, np.float32), np.zeros(70, np.float32), 1.0)
    motions = torch.from_numpy(closed[None])
    # Where the middle of the open eye was, skin from above the upper lid is now seen.
    eye = (rest[0, 159, :2] + rest[0, 145, :2]) / 2
    column, row = eye.int().tolist()
    looked_up = -prior.guide(heads, landmarks(morphable, motions), motions, size=256).flow[0, 1, row, column]
    assert looked_up > 0.8 * (eye[1] - rest[0, 159, 1])


def test_the_nose_hides_the_cheek_behind_it(
    rest: torch.Tensor, morphable: MorphableModel, prior: Prior, heads: Heads
) -> None:
    turned = motion(YAW, 0.6)
    target = landmarks(morphable, turned)
    column, row = target[0, 1, :2].int().tolist()  # the tip of the nose in the turned picture
    flow = prior.guide(heads, target, turned, size=256).flow[0, :, row, column]
    seen = torch.tensor([column + 0.5, row + 0.5]) + flow
    assert (seen - rest[0, 1, :2]).norm() < 4


def test_a_turned_head_is_no_sliding_face(
    rest: torch.Tensor, morphable: MorphableModel, prior: Prior, heads: Heads
) -> None:
    """Jaws lie deeper than noses and move less; what is beside them goes with them, not with the nose."""
    turned = motion(YAW, 0.35)
    target = landmarks(morphable, turned)
    flow = -prior.guide(heads, target, turned, size=256).flow[0, 0]  # to the right
    jaw = target[0, (172, 136, 150), :2].int()  # on the left, as seen, below what is read further in
    beside, asked = flow[jaw[:, 1], jaw[:, 0] - 6], (target - rest)[0, (172, 136, 150), 0]
    assert (beside - asked).abs().max() < 2.5


@pytest.mark.parametrize("side", ["left", "right"])  # as seen
def test_a_cheek_that_turns_to_the_camera_is_not_read_at_the_rim(
    rest: torch.Tensor, morphable: MorphableModel, prior: Prior, heads: Heads, side: str
) -> None:
    """There the portrait shows sideburns and the wall behind; elsewhere the mesh says where the pixel came from."""
    yaw, near, far = {"left": (0.35, 234, 454), "right": (-0.35, 454, 234)}[side]
    turned = motion(YAW, yaw)
    target = landmarks(morphable, turned)
    flow = prior.guide(heads, target, turned, size=256).flow[0]
    middle = rest[0, :, :2].mean(0)

    def read_at(corner: int, share: float) -> torch.Tensor:
        """Where the pixel at a share of the way from the rim's corner to the nose was read, in pixels of the crop."""
        at = target[0, corner, :2] * (1 - share) + target[0, 1, :2] * share
        column, row = at.int().tolist()
        return torch.tensor([column + 0.5, row + 0.5]) + flow[:, row, column]

    assert (rest[0, near, :2] - middle).norm() - (read_at(near, 0.12) - middle).norm() > 5
    assert (read_at(1, 0.0) - rest[0, 1, :2]).norm() < 3
    seen = (read_at(far, 0.3) - rest[0, far, :2]).norm()
    assert seen < 0.5 * (rest[0, 1, :2] - rest[0, far, :2]).norm()


def test_an_opening_mouth_is_doubted_unless_the_portrait_shows_it(
    morphable: MorphableModel, prior: Prior, heads: Heads
) -> None:
    opened = Controls.load(morphable).apply(np.zeros(80, np.float32), np.zeros(70, np.float32), {"jaw_open": 0.8})
    motions = torch.from_numpy(opened[None])
    target = landmarks(morphable, motions)
    column, row = target[0, [13, 14], :2].mean(0).int().tolist()
    absent = DOUBTS.index("absent")
    assert prior.guide(heads, target, motions, size=256).doubt[0, absent, row, column] > 0.9
    shows = prior.heads(torch.zeros(1, 3, 256, 256), target, motions)
    assert prior.guide(shows, target, motions, size=256).doubt[0, absent, row, column] == 0
