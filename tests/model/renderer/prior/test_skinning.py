"""Pixels follow the head by their weights, and the released network knows which do."""

import numpy as np
import pytest
import torch
from PIL import Image

from model.extractor import Extraction, Extractor
from model.morphable import MorphableModel
from model.renderer.prior.prior import Prior
from model.renderer.prior.skinning import SKIN_SIDE, Skin, SkinningNetwork, head_motion, inside_rim
from tests.support.paths import ROOT

CELL = 256 / SKIN_SIDE


def pose(**numbers: float) -> torch.Tensor:
    """A motion (1, 70) of no expression."""
    motion = torch.zeros(1, 70)
    for name, value in numbers.items():
        motion[0, {"yaw": 64, "pitch": 65, "roll": 66, "scale": 67, "x": 68, "y": 69}[name]] = value
    return motion


def worn(morphable: MorphableModel, weight: torch.Tensor, depth: float = 0.0) -> Skin:
    """A skin at rest whose three weights (S, S) are one, at one depth."""
    landmarks = morphable.landmarks(torch.zeros(1, 80), torch.zeros(1, 70))
    return Skin(
        landmarks, torch.zeros(1, 70), weight.expand(1, 3, -1, -1), torch.full((1, SKIN_SIDE, SKIN_SIDE), depth)
    )


def test_what_is_fixed_to_the_head_moves_as_the_model_has_it(morphable: MorphableModel) -> None:
    own = pose(yaw=0.2, pitch=-0.1, scale=0.1, x=0.05)
    wanted = torch.cat([pose(yaw=-0.3, roll=0.2, scale=-0.1), pose(pitch=0.3, x=0.1, y=-0.2, scale=0.3)])
    identity = torch.randn(1, 80, generator=torch.Generator().manual_seed(0))
    points = morphable.landmarks(identity, own)
    turned, gone = head_motion(points, own, wanted)
    assert torch.allclose(points[..., :2] + turned + gone, morphable.landmarks(identity, wanted)[..., :2], atol=1e-3)


def test_a_weight_of_one_follows_and_of_none_stays(morphable: MorphableModel) -> None:
    weight = torch.zeros(SKIN_SIDE, SKIN_SIDE)
    weight[:, :32] = 1.0
    moved = pose(x=0.1)  # 12.8 px
    skin = worn(morphable, weight)
    displacement = skin.displacements(skin.landmarks + torch.tensor([12.8, 0, 0]), moved)[0][0]
    assert torch.allclose(displacement[0, :, :32], torch.tensor(12.8), atol=1e-3)
    assert displacement[0, :, 32:].abs().max() == 0
    assert displacement[1].abs().max() < 1e-4


def test_a_chin_that_drops_takes_along_what_is_below(morphable: MorphableModel) -> None:
    skin = worn(morphable, torch.ones(SKIN_SIDE, SKIN_SIDE))
    dropped = skin.landmarks.clone()
    dropped[:, 152, 1] += 8.0
    column, row = (skin.landmarks[0, 152, :2] / CELL).int().tolist()
    displacement = skin.displacements(dropped, torch.zeros(1, 70))[0][0, 1]
    assert 0.5 < displacement[row, column] < 8.0
    assert displacement[row - 30, column].abs() < 1e-3


def test_origins_undo_the_displacement(morphable: MorphableModel) -> None:
    skin = worn(morphable, torch.ones(SKIN_SIDE, SKIN_SIDE), depth=-20.0)
    wanted = pose(yaw=0.3, roll=0.2, x=0.05)
    target = morphable.landmarks(torch.zeros(1, 80), wanted)
    origins, displacement = skin.origins(target, wanted)[0], skin.displacements(target, wanted)[0]
    # From a cell in the middle, forward and then back.
    row, column = 30, 36
    place = torch.tensor([column + 0.5, row + 0.5]) * CELL + displacement[0, :, row, column]
    grid = (place / 128 - 1).view(1, 1, 1, 2)
    back = torch.nn.functional.grid_sample(origins, grid, align_corners=False).flatten()
    assert torch.allclose(place + back, torch.tensor([column + 0.5, row + 0.5]) * CELL, atol=0.2)


def test_the_head_hides_what_it_moves_over_and_the_rest_stays(morphable: MorphableModel) -> None:
    weight = torch.zeros(SKIN_SIDE, SKIN_SIDE)
    weight[16:48, 16:48] = 1.0
    skin = worn(morphable, weight)
    shift = 8 * CELL
    origins = skin.origins(skin.landmarks + torch.tensor([shift, 0, 0]), pose(x=shift / 128))[0][0, 0]
    assert torch.allclose(origins[32, 26:54], torch.tensor(-shift), atol=1.0)  # the head, and what it moved over
    assert origins[32, 58:].abs().max() < 0.5
    assert origins[32, :14].abs().max() < 0.5
    bare = torch.arange(16, 24)
    assert ((bare * CELL + origins[32, bare]) < 18 * CELL).all()  # stretched from the left, not seen twice


def test_gradients_reach_the_weights(morphable: MorphableModel) -> None:
    weight = torch.full((SKIN_SIDE, SKIN_SIDE), 0.5, requires_grad=True)
    skin = worn(morphable, weight)
    skin.origins(skin.landmarks + torch.tensor([10.0, 0, 0]), pose(x=10 / 128))[0][0, 0, 32, 32].backward()
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 1


def test_an_untrained_network_goes_by_nearness(morphable: MorphableModel) -> None:
    landmarks = morphable.landmarks(torch.zeros(1, 80), torch.zeros(1, 70))
    with torch.no_grad():
        weights, depth = SkinningNetwork()(torch.zeros(1, 3, 256, 256), landmarks)
    nose = (landmarks[0, 1] / CELL).int()
    assert weights[0, :2, nose[1], nose[0]].min() > 0.9
    assert weights[0, :2, 0, 0].max() < 0.1
    assert depth[0, nose[1], nose[0]] < depth[0, 8, 8]


@pytest.fixture(scope="module")
def portrait(extractor: Extractor) -> Extraction:
    return extractor.extract(np.asarray(Image.open(ROOT / "service" / "samples" / "portrait.jpg").convert("RGB")))


def test_in_the_packaged_portrait_the_head_follows_and_the_wall_stays(
    morphable: MorphableModel, portrait: Extraction
) -> None:
    skin = Prior.load(morphable).head_of(portrait).skin
    inside = inside_rim(skin.landmarks)[0, 0, ::2, ::2] > 0
    turning = skin.weights[0, 0]
    assert turning[inside].mean() > 0.9
    assert turning[:4, :4].max() < 0.3
    assert turning[:4, -4:].max() < 0.3
    top = int(skin.landmarks[0, 10, 1] / CELL) - 3  # hair above the forehead
    assert turning[top, int(skin.landmarks[0, 10, 0] / CELL)] > 0.7


def test_depth_has_no_steps_beside_ears(morphable: MorphableModel) -> None:
    """The nearest landmark changes by steps down the rim; what follows it would tear ears into waves."""
    still = torch.zeros(1, 70)
    rest = morphable.landmarks(torch.zeros(1, 80), still)
    network, grey = SkinningNetwork.load(), torch.zeros(1, 3, 256, 256)
    beside = np.s_[0, 16:32, 14]  # down along the left ear, as seen
    rough = network(grey, rest)[1][beside].diff(n=2).abs().max()
    assert network.skin(grey, rest, still).depth[beside].diff(n=2).abs().max() < 0.5 * rough
