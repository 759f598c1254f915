import math

import numpy as np
import pytest
import torch

from model.extractor import details as details_module
from model.extractor.details import EYE_SIZE, Details
from model.extractor.network import FaceNetwork, NetworkConfig
from model.extractor.reader import FaceReader
from model.face.topology import LEFT_EYE_REGION, MOUTH_REGION, POINTS, RIGHT_EYE_REGION, mirror_permutation
from model.training.extractor.loss import extractor_losses

WINDOW = 192


@pytest.fixture(scope="module")
def reference():
    return FaceReader.load().network.reference


@pytest.fixture
def details():
    torch.manual_seed(0)
    made = Details().eval()
    for part in (made.eye, made.mouth):
        torch.nn.init.normal_(part.output.weight, std=0.05)
    return made


def similarity(scale, angle, x, y):
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    return torch.tensor([[[cosine, -sine, x], [sine, cosine, y]]])


def test_the_regions_of_the_eyes_mirror_each_other(reference):
    permutation = mirror_permutation(reference.numpy())
    assert permutation[list(RIGHT_EYE_REGION)].tolist() == list(LEFT_EYE_REGION)
    assert sorted(permutation[list(MOUTH_REGION)]) == sorted(MOUTH_REGION)
    assert len(set(RIGHT_EYE_REGION + LEFT_EYE_REGION + MOUTH_REGION)) == 2 * len(RIGHT_EYE_REGION) + len(MOUTH_REGION)


def test_patches_show_the_eye_upright_wherever_the_face_stands(details, reference, monkeypatch):
    """A dot painted at the eye's middle comes to lie in the middle of the patch, the face turned and moved."""
    seen = []
    sample = details_module._sample
    monkeypatch.setattr(details_module, "_sample", lambda *given: seen.append(sample(*given)) or seen[-1])
    to_window = similarity(0.8, 0.4, 0.1, -0.05)
    middle = reference[list(LEFT_EYE_REGION), :2].mean(0)
    x, y = (to_window[0, :, :2] @ middle + to_window[0, :, 2]).tolist()
    column, row = ((v + 1) / 2 * WINDOW - 0.5 for v in (x, y))
    rows, columns = np.mgrid[0:WINDOW, 0:WINDOW]
    dot = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 18).astype(np.float32)
    details(torch.from_numpy(dot).expand(1, 3, -1, -1), reference[None], to_window)
    left = seen[0][1, 0].detach().numpy()
    found = np.unravel_index(left.argmax(), left.shape)
    assert np.abs(np.array(found) - (EYE_SIZE - 1) / 2).max() <= 1


def test_a_mirrored_face_is_corrected_by_the_mirror_image(details, reference):
    torch.manual_seed(1)
    window, face = torch.rand(1, 3, WINDOW, WINDOW), reference[None].clone()
    permutation = mirror_permutation(reference.numpy())
    mirrored = face[:, permutation] * torch.tensor([-1.0, 1.0, 1.0])
    eyes = list(RIGHT_EYE_REGION + LEFT_EYE_REGION)
    first = details(window, face, similarity(1, 0, 0, 0))
    second = details(window.flip(-1), mirrored, similarity(1, 0, 0, 0))[:, permutation] * torch.tensor([-1.0, 1.0])
    assert first[:, eyes].abs().max() > 1e-3
    assert torch.allclose(first[:, eyes], second[:, eyes], atol=1e-5)


def test_corrections_stay_within_their_regions(details, reference):
    corrections = details(
        torch.rand(2, 3, WINDOW, WINDOW), reference.expand(2, -1, -1), similarity(1, 0, 0, 0).expand(2, -1, -1)
    )
    touched = set((corrections.abs().sum((0, 2)) > 0).nonzero().flatten().tolist())
    assert touched == set(RIGHT_EYE_REGION + LEFT_EYE_REGION + MOUTH_REGION)


def test_each_half_learns_from_its_own_error(reference):
    """Where the details answer, the rough face learns from its own error and the details from what is left."""
    torch.manual_seed(2)
    network = FaceNetwork(NetworkConfig(window_size=WINDOW)).train()
    network.set_linear_face(reference, 0.01 * torch.randn(8, POINTS * 3))
    pose, presence = torch.zeros(2, 4), torch.ones(2)
    prediction = network(torch.randint(0, 256, (2, 3, WINDOW, WINDOW), dtype=torch.uint8))
    losses = extractor_losses(prediction, reference.expand(2, -1, -1) + 0.1, pose, presence)
    assert network.details is not None
    of_details = torch.autograd.grad(
        losses.shape, list(network.details.parameters()), allow_unused=True, retain_graph=True
    )
    assert all(gradient is None for gradient in of_details)
    region = prediction.face[:, list(MOUTH_REGION)].sum()
    assert torch.autograd.grad(region, network.basis, retain_graph=True)[0].abs().sum() == 0
    assert torch.autograd.grad(losses.detail_shape, network.details.mouth.output.bias)[0].abs().sum() > 0
