"""Engines against stored outputs of the authors' network, where those are at hand."""

import numpy as np
import pytest
import torch

from model.engines import EngineSettings, build_engine
from model.engines.eight_bits import EightBitCalibration, Example, observe_ranges
from model.engines.openvino_engine import native_precision
from model.metrics import psnr
from model.renderer import load_official_checkpoint
from tests.support.paths import GOLDEN

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no outputs of the authors' network here")


@pytest.mark.parametrize(
    ("engine", "device", "precision"),
    [
        ("torch", "cpu", "float32"),
        ("openvino", "cpu", "float32"),
        ("openvino", "cpu", "bfloat16"),
        ("torch", "cuda", "float32"),
        ("compiled", "cuda", "float32"),
        ("compiled", "cuda", "bfloat16"),
        ("compiled", "cuda", "float16"),
    ],
)
def test_pictures_are_the_stored_ones(engine, device, precision):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    if (device, precision) == ("cpu", "bfloat16") and native_precision() != precision:
        pytest.skip("this processor does not compute in bfloat16")
    settings = EngineSettings(engine=engine, device=device, precision=precision, threads=1)
    built = build_engine(load_official_checkpoint(GOLDEN / "renderer_small_checkpoint.pt"), settings)
    golden = {key: torch.from_numpy(value) for key, value in np.load(GOLDEN / "renderer_small.npz").items()}
    for index in range(2):
        descriptor = golden["descriptor"][index : index + 1, :, 0]
        image = built.render(built.prepare(golden["source"][index : index + 1]), descriptor).image.cpu()
        expected = golden["image"][index : index + 1]
        if precision == "float32":
            assert (image - expected).abs().max() < (1e-4 if (engine, device) == ("torch", "cpu") else 1e-3)
        else:
            assert psnr(image, expected) > 42


def test_eight_bits_keep_the_picture_of_weights_that_have_no_slack():
    """Random weights spend their range evenly, as trained ones do not: those hold 40 dB (see the released card)."""
    network = load_official_checkpoint(GOLDEN / "renderer_small_checkpoint.pt")
    golden = {key: torch.from_numpy(value) for key, value in np.load(GOLDEN / "renderer_small.npz").items()}
    examples = [Example(golden["source"][i : i + 1], golden["motion"][i : i + 1]) for i in range(2)]
    calibration = EightBitCalibration(ranges=observe_ranges(network, examples), frames=2, psnr_db=0)
    settings = EngineSettings(engine="openvino", device="cpu", precision="int8", threads=1)
    built = build_engine(network, settings, calibration=calibration)
    for index, example in enumerate(examples):
        image = built.render(built.prepare(example.source), golden["descriptor"][index : index + 1, :, 0]).image
        assert psnr(image, golden["image"][index : index + 1]) > 32
