"""Engines against stored outputs of the authors' network, where those are at hand."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from model.engines import EngineSettings, build_engine
from model.engines.openvino_engine import native_precision
from model.metrics import psnr
from model.renderer import load_official_checkpoint

GOLDEN = Path(os.environ.get("PIRENDERER_GOLDEN", Path(__file__).parents[3] / "../shared/golden"))

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no outputs of the authors' network here")


@pytest.mark.parametrize(
    ("engine", "precision"), [("torch", "float32"), ("openvino", "float32"), ("openvino", "bfloat16")]
)
def test_pictures_are_the_stored_ones(engine, precision):
    if precision == "bfloat16" and native_precision() != precision:
        pytest.skip("this processor does not compute in bfloat16")
    settings = EngineSettings(engine=engine, device="cpu", precision=precision, threads=1)
    built = build_engine(load_official_checkpoint(GOLDEN / "renderer_small_checkpoint.pt"), settings)
    golden = {key: torch.from_numpy(value) for key, value in np.load(GOLDEN / "renderer_small.npz").items()}
    for index in range(2):
        descriptor = golden["descriptor"][index : index + 1, :, 0]
        image = built.render(built.prepare(golden["source"][index : index + 1]), descriptor)
        expected = golden["image"][index : index + 1]
        if precision == "float32":
            assert (image - expected).abs().max() < (1e-4 if engine == "torch" else 1e-3)
        else:
            assert psnr(image, expected) > 42
