"""Where the pixels of a face are read in the portrait."""

import pytest
import torch

from model.morphable import MorphableModel
from model.renderer.prior.face_flow import FaceFlow
from model.renderer.prior.skinning import RIM, Skin, SkinningNetwork

YAW, PITCH = 64, 65
NEAR_EAR, CHIN, FOREHEAD = 93, 152, 10  # landmarks at the rim; the ear as a head is turned to yaws above 0
LEFT_CHEEK, RIGHT_CHEEK, NOSE = 50, 280, 1  # landmarks, as seen


@pytest.fixture(scope="module")
def face(morphable: MorphableModel) -> FaceFlow:
    return FaceFlow(morphable)


def yawed(yaw: float) -> torch.Tensor:
    motion = torch.zeros(1, 70)
    motion[0, YAW] = yaw
    return motion


def landmarks(morphable: MorphableModel, motion: torch.Tensor) -> torch.Tensor:
    return morphable.landmarks(torch.zeros(1, 80), motion)


def read_at(
    face: FaceFlow, morphable: MorphableModel, *, own: torch.Tensor, asked: torch.Tensor, around: float = 0.0
) -> torch.Tensor:
    """Where each pixel (256, 256) of a portrait in the motion `own` is read, x and y: (256, 256, 2) in pixels."""
    maps = torch.zeros(1, 3, 64, 64), torch.zeros(1, 64, 64)
    skin = Skin(landmarks(morphable, own), own, *maps)
    flow = face.lay(torch.full((1, 2, 256, 256), around), skin, landmarks(morphable, asked), asked)[0]
    rows, columns = torch.meshgrid(torch.arange(256) + 0.5, torch.arange(256) + 0.5, indexing="ij")
    return torch.stack([columns, rows], -1) + flow.permute(1, 2, 0)


def at(places: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
    column, row = point[:2].int().tolist()
    return places[row, column]


def test_a_face_seen_from_in_front_is_read_where_it_lies(face: FaceFlow, morphable: MorphableModel) -> None:
    own, asked = yawed(0.0), yawed(0.35)
    before, wanted = landmarks(morphable, own)[0], landmarks(morphable, asked)[0]
    places = read_at(face, morphable, own=own, asked=asked)
    for landmark in (LEFT_CHEEK, RIGHT_CHEEK, NOSE):
        assert (at(places, wanted[landmark]) - before[landmark, :2]).norm() < 4


def test_the_far_side_ends_at_once_and_the_near_side_slowly(face: FaceFlow, morphable: MorphableModel) -> None:
    """A face hides what is behind it; between hidden and hiding nothing is to be seen."""
    own, asked = yawed(0.0), yawed(0.5)
    wanted = landmarks(morphable, asked)[0]
    inwards = wanted[NOSE, :2] - wanted[list(RIM), :2]
    shares = {}
    for name, corner in {"far": 361, "near": 132}.items():  # jaws below the ears, right and left as seen
        step = inwards[RIM.index(corner)]
        point = wanted[corner, :2] + 2.5 * step / step.norm()
        own_place, moved = (
            at(read_at(face, morphable, own=own, asked=asked, around=value), point) for value in (0.0, 40.0)
        )
        shares[name] = (moved - own_place).abs().max() / 40  # of what is around the face, 2.5 pixels inside it
    assert shares["far"] < 0.1
    assert shares["near"] > 0.3


def near_ear(morphable: MorphableModel, motion: torch.Tensor, *, inside: float = 0.0) -> torch.Tensor:
    """The place (2,) beside the left ear, as seen, so many pixels inside the rim."""
    points = landmarks(morphable, motion)[0]
    step = points[NOSE, :2] - points[NEAR_EAR, :2]
    return points[NEAR_EAR, :2] + inside * step / step.norm()


def test_cheeks_beside_a_near_ear_are_read_further_in(face: FaceFlow, morphable: MorphableModel) -> None:
    """A band along the rim, such as an ear's front edge, is not smeared over the cheek."""
    own, asked = yawed(0.0), yawed(0.5)
    rim = landmarks(morphable, own)[0, NEAR_EAR, 0]
    places = read_at(
        face, morphable, own=own, asked=asked, around=float(rim - landmarks(morphable, asked)[0, NEAR_EAR, 0])
    )
    for inside in (0.0, 2.0, 4.0, 8.0):
        column = at(places, near_ear(morphable, asked, inside=inside))[0]
        assert rim + 5 < column < rim + 30
    row = int(near_ear(morphable, asked)[1])
    along = places[row, : int(landmarks(morphable, asked)[0, NOSE, 0]), 0]
    assert along.diff().min() > -0.5  # nothing is shown twice, but for the seam
    assert along.diff().max() < 2.5  # nor is there a jump


def test_reading_further_in_begins_slowly_with_the_turn(face: FaceFlow, morphable: MorphableModel) -> None:
    own = yawed(0.0)
    point = near_ear(morphable, own).round() - torch.tensor([3.0, 0.0])  # around the face all along
    yaws = [0.01 * step for step in range(60)]
    read = [at(read_at(face, morphable, own=own, asked=yawed(yaw)), point)[0].item() for yaw in yaws]
    further = torch.tensor(read) - point[0].floor() - 0.5
    assert further[0].abs() < 1e-3
    assert further[:3].abs().max() < 0.2
    assert further.diff().abs().max() < 0.6
    assert further.max() > 5


@pytest.mark.parametrize("pitch", [-0.2, 0.2])
def test_foreheads_and_chins_are_read_where_they_lie(face: FaceFlow, morphable: MorphableModel, pitch: float) -> None:
    asked = torch.zeros(1, 70)
    asked[0, PITCH] = pitch
    places = read_at(face, morphable, own=yawed(0.0), asked=asked)
    before, wanted = landmarks(morphable, yawed(0.0))[0], landmarks(morphable, asked)[0]
    for rim in (CHIN, FOREHEAD):
        point = wanted[rim, :2].clone()
        point[1] += 4 if rim == CHIN else -4
        assert (at(places, point) - point.floor() - 0.5).norm() < 1e-3
        assert (before[rim] - wanted[rim])[:2].norm() > 4


def test_the_far_side_is_read_where_it_lies(face: FaceFlow, morphable: MorphableModel) -> None:
    own, asked = yawed(0.0), yawed(0.5)
    places = read_at(face, morphable, own=own, asked=asked)
    beyond = int(landmarks(morphable, asked)[0, :, 0].max()) + 2
    columns = torch.arange(256) + 0.5
    assert (places[:, beyond:, 0] - columns[beyond:]).abs().max() < 1e-3


def test_ears_that_are_seen_from_aside_are_left_alone(face: FaceFlow, morphable: MorphableModel) -> None:
    """Their cheek is wide already."""
    own, asked = yawed(0.7), yawed(1.0)
    point = near_ear(morphable, asked) - torch.tensor([4.0, 0.0])
    assert (at(read_at(face, morphable, own=own, asked=asked), point) - point.floor() - 0.5).norm() < 1


def test_no_pixel_moves_further_than_every_landmark(face: FaceFlow, morphable: MorphableModel) -> None:
    """Pixels on the outline of a thin triangle lie outside it, where what it says of its inside leads far away."""
    own, asked = yawed(0.0), yawed(-0.9)
    before, wanted = landmarks(morphable, own)[0], landmarks(morphable, asked)[0]
    rows, columns = torch.meshgrid(torch.arange(256) + 0.5, torch.arange(256) + 0.5, indexing="ij")
    moved = read_at(face, morphable, own=own, asked=asked) - torch.stack([columns, rows], -1)
    assert moved[..., 0].abs().max() < (before - wanted)[:, 0].abs().max() + 1


def test_frames_do_not_depend_on_the_batch(face: FaceFlow, morphable: MorphableModel) -> None:
    motions = torch.cat([yawed(0.2), yawed(-0.4)])
    source = torch.zeros(1, 3, 256, 256)
    own = yawed(0.6)
    skin = SkinningNetwork.load().skin(source, landmarks(morphable, own), own)
    around = torch.zeros(2, 2, 256, 256)
    together = face.lay(around, skin, landmarks(morphable, motions), motions)
    for number, motion in enumerate(motions[:, None]):
        alone = face.lay(around[:1], skin, landmarks(morphable, motion), motion)
        assert torch.allclose(together[number], alone[0], atol=1e-4)
    assert around.abs().max() == 0  # what was given is not written to
