import numpy as np
import pytest
import torch

from model.engines.torch_engine import TorchEngine
from model.errors import EngineError
from model.metrics import psnr
from model.pictures import to_frames, to_image
from model.renderer import motion_windows


def test_bytes_and_images_convert_exactly():
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    image = to_image(levels)
    assert image.shape == (1, 3, 16, 16)
    assert image.min() == -1
    assert image.max() == 1
    assert np.array_equal(to_frames(image)[0], levels)


def test_frames_are_clamped():
    assert to_frames(torch.tensor([-1.5, 0.0, 1.5]).view(1, 3, 1, 1)).tolist() == [[[[0, 128, 255]]]]


def test_torch_engine_is_the_network(case):
    engine = TorchEngine(case.network)
    with torch.no_grad():
        windows = motion_windows(case.motions, 13)
        expected = case.network(case.source.expand(3, -1, -1, -1), windows, case.prior).image
    portrait, descriptors = engine.prepare(case.source), engine.describe(case.motions)
    torch.testing.assert_close(engine.render(portrait, descriptors, case.prior).image, expected, atol=1e-4, rtol=0)
    frames = engine.render_frames(portrait, descriptors, case.prior).images
    assert frames.shape == (3, 64, 64, 3)
    assert frames.dtype == np.uint8
    assert np.abs(frames.astype(int) - to_frames(expected)).max() <= 1


def test_the_network_given_stays_as_it_was(case):
    case.network.train()
    TorchEngine(case.network, precision="bfloat16")
    assert case.network.training
    assert all(parameter.requires_grad for parameter in case.network.parameters())


def test_torch_in_bfloat16_is_near(case):
    reference, engine = TorchEngine(case.network), TorchEngine(case.network, precision="bfloat16")
    images = [e.render(e.prepare(case.source), e.describe(case.motions), case.prior).image for e in (reference, engine)]
    assert images[1].dtype == torch.float32
    assert psnr(*images).min() > 35


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_missing_device_is_named(plain_case):
    with pytest.raises(EngineError, match="device is 'cuda:0', and torch finds no CUDA device here"):
        TorchEngine(plain_case.network, device="cuda:0")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize(("precision", "decibels"), [("float32", 55), ("bfloat16", 35)])
def test_cuda_agrees_with_the_cpu(case, precision, decibels):
    images = [
        e.render(e.prepare(case.source), e.describe(case.motions), case.prior).image.cpu()
        for e in (TorchEngine(case.network), TorchEngine(case.network, device="cuda", precision=precision))
    ]
    assert psnr(*images).min() > decibels
