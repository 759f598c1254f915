"""What a half profile hides is completed from its mirror image, and nothing else."""

import cv2
import numpy as np
import pytest
import torch

from model.face.topology import mirror_permutation
from model.morphable import MorphableModel
from model.morphable.mesh import RIM, face_mesh
from model.renderer.guide import Guide
from model.renderer.prior.completion import Completer, Completion
from model.renderer.prior.prior import Heads, Prior
from model.renderer.prior.skinning import SKIN_SIDE, Skin

YAW = 64
LEFT_CHEEK, RIGHT_CHEEK, NOSE = 50, 280, 1  # landmarks, as seen
SIDE = 256


@pytest.fixture(scope="module")
def prior(morphable: MorphableModel) -> Prior:
    return Prior.load(morphable)


def yawed(*yaws: float) -> torch.Tensor:
    motions = torch.zeros(len(yaws), 70)
    motions[:, YAW] = torch.tensor(yaws)
    return motions


def landmarks(morphable: MorphableModel, motions: torch.Tensor) -> torch.Tensor:
    return morphable.landmarks(torch.zeros(1, 80), motions)


def portrait(morphable: MorphableModel, yaw: float) -> tuple[torch.Tensor, Skin]:
    """A grey head on blue whose cheeks are red at the left and green at the right as seen."""
    own = yawed(yaw)
    points = landmarks(morphable, own)
    picture = np.full((SIDE, SIDE, 3), (0, 0, 1), np.float32)
    cv2.fillConvexPoly(picture, cv2.convexHull(points[0, list(RIM), :2].int().numpy()), (0.5, 0.5, 0.5))
    for cheek, colour in ((LEFT_CHEEK, (0.8, 0.3, 0.3)), (RIGHT_CHEEK, (0.3, 0.8, 0.3))):
        cv2.circle(picture, points[0, cheek, :2].int().tolist(), 6, colour, -1)
    maps = torch.ones(1, 3, SKIN_SIDE, SKIN_SIDE), torch.zeros(1, SKIN_SIDE, SKIN_SIDE)
    return torch.from_numpy(picture).permute(2, 0, 1)[None] * 2 - 1, Skin(points, own, *maps)


def complete(prior: Prior, source: torch.Tensor, skin: Skin) -> Completion | None:
    return prior._completer.complete(source[0].permute(1, 2, 0).contiguous().numpy(), skin)


def completed(prior: Prior, morphable: MorphableModel, own: float, *asked: float) -> tuple[Completion, Guide]:
    source, skin = portrait(morphable, own)
    completion = complete(prior, source, skin)
    assert completion is not None
    motions = yawed(*asked)
    return completion, prior.guide(Heads(skin, (completion,)), landmarks(morphable, motions), motions, size=SIDE)


def share_at(guide: Guide, points: torch.Tensor, landmark: int, *, frame: int = 0) -> float:
    column, row = points[frame, landmark, :2].int().tolist()
    return guide.completed[frame, 0, row, column].item()


def test_a_mirror_exchanges_the_sides_of_a_face(morphable: MorphableModel) -> None:
    other = mirror_permutation(morphable.mean.numpy())
    assert (other[other] == np.arange(478)).all()
    assert other[[33, 61, 234, LEFT_CHEEK, NOSE, 152]].tolist() == [263, 291, 454, RIGHT_CHEEK, NOSE, 152]


def test_the_mesh_ends_at_the_rim_and_none_of_it_is_folded_on_the_page(morphable: MorphableModel) -> None:
    triangles = face_mesh(morphable)
    sides = np.sort(np.concatenate([triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))]), axis=1)
    found, times = np.unique(sides, axis=0, return_counts=True)
    rim = {tuple(sorted(pair)) for pair in zip(RIM, (*RIM[1:], RIM[0]), strict=True)}
    assert {tuple(side) for side in found[times == 1].tolist()} == rim
    completer = Completer(morphable)
    assert len(completer._page_drawn.corners) == len(triangles) + len(completer._halo)


@pytest.mark.parametrize("yaw", [0.0, 0.2, -0.2])
def test_a_portrait_that_shows_both_halves_is_left_alone(morphable: MorphableModel, prior: Prior, yaw: float) -> None:
    source, skin = portrait(morphable, yaw)
    assert complete(prior, source, skin) is None
    motions = yawed(0.3)
    guide = prior.guide(Heads(skin, (None,)), landmarks(morphable, motions), motions, size=SIDE)
    assert guide.completed.max() == 0
    assert torch.equal(guide.complete(source), source)


@pytest.mark.parametrize(("own", "hidden", "shown"), [(0.7, RIGHT_CHEEK, LEFT_CHEEK), (-0.7, LEFT_CHEEK, RIGHT_CHEEK)])
def test_a_hidden_cheek_is_the_mirror_image_of_the_other(
    morphable: MorphableModel, prior: Prior, own: float, hidden: int, shown: int
) -> None:
    _, guide = completed(prior, morphable, own, 0.0)
    points = landmarks(morphable, yawed(0.0))
    assert share_at(guide, points, hidden) > 0.95
    assert share_at(guide, points, shown) == 0
    column, row = points[0, hidden, :2].int().tolist()
    colour = guide.completion[0, :, row, column] / 2 + 0.5
    brightest = 0 if shown == LEFT_CHEEK else 1
    assert colour.argmax() == brightest


def test_both_halves_meet_in_the_middle_where_they_are_the_same(morphable: MorphableModel, prior: Prior) -> None:
    completion, guide = completed(prior, morphable, 0.7, 0.0)
    points = landmarks(morphable, yawed(0.0))
    for landmark in (10, 168, NOSE, 13, 152):
        assert completion.lacks[landmark] < 0.05
        assert share_at(guide, points, landmark) < 0.2
    # what a pixel of the page in the middle shows lies where the portrait's own middle does
    _, skin = portrait(morphable, 0.7)
    middle = prior._completer._on_page[168]
    column, row = middle.astype(int)
    assert np.hypot(*(completion.mirrored[row, column] - skin.landmarks[0, 168, :2].numpy())) < 2


def test_nothing_is_completed_in_the_portraits_own_pose_and_beyond(morphable: MorphableModel, prior: Prior) -> None:
    _, skin = portrait(morphable, 0.7)
    _, guide = completed(prior, morphable, 0.7, 0.7, 0.9)
    assert guide.completed.abs().max() == 0
    motions = yawed(0.7, 0.9)
    assert torch.equal(
        guide.flow, prior.guide(Heads(skin, (None,)), landmarks(morphable, motions), motions, size=SIDE).flow
    )


@pytest.mark.slow
def test_it_comes_and_goes_smoothly(morphable: MorphableModel, prior: Prior) -> None:
    yaws = np.linspace(0.7, 0.0, 71)
    _, guide = completed(prior, morphable, 0.7, *yaws.tolist())
    points = landmarks(morphable, yawed(*yaws.tolist()))
    shares = [share_at(guide, points, RIGHT_CHEEK, frame=frame) for frame in range(len(yaws))]
    assert shares[0] == 0
    assert shares[-1] > 0.95
    assert np.abs(np.diff(shares)).max() < 0.1
    assert 0 <= guide.completed.min() <= guide.completed.max() <= 1


def test_a_portrait_that_turns_aside_begins_to_lack_a_little(morphable: MorphableModel, prior: Prior) -> None:
    begun = complete(prior, *portrait(morphable, 0.205))
    assert begun is not None
    assert 0 < begun.lacks.max() < 0.1


def test_the_light_of_the_mirror_image_is_fitted(morphable: MorphableModel, prior: Prior) -> None:
    _, skin = portrait(morphable, 0.5)
    light = torch.linspace(1, 0, SIDE).exp() / 3  # from the left, while the right is hidden
    column, row = prior._completer._on_page[RIGHT_CHEEK].astype(int)
    for source, expected in ((torch.full((SIDE,), 0.5), 1.0), (light, 0.8)):
        completion = complete(prior, source.expand(1, 3, SIDE, SIDE) * 2 - 1, skin)
        assert completion is not None
        assert completion.gain[row, column] == pytest.approx(expected, abs=0.12 if expected < 1 else 1e-3)


def test_frames_do_not_depend_on_the_batch(morphable: MorphableModel, prior: Prior) -> None:
    _, together = completed(prior, morphable, 0.7, 0.1, -0.3)
    for number, yaw in enumerate((0.1, -0.3)):
        _, alone = completed(prior, morphable, 0.7, yaw)
        assert torch.allclose(together.prior[number], alone.prior[0], atol=1e-4)
