import numpy as np
import pytest
import torch
from torch import nn

from model.engines import EngineSettings, build_engine
from model.engines.eight_bits import (
    USUAL,
    EightBitCalibration,
    Example,
    observe_ranges,
    read_eight_bit_calibration,
    rounded_layers,
)
from model.engines.openvino_engine import OpenVINOEngine, best_precision, multiplies_eight_bits, native_precision
from model.engines.torch_engine import TorchEngine
from model.errors import EngineError, WeightsError
from model.metrics import psnr
from model.renderer import motion_windows
from model.weights import RENDERER
from model.weights.files import read_card


def calibration_of(case, *, decibels: float = 50) -> EightBitCalibration:
    windows = motion_windows(case.motions, 13)
    examples = [
        Example(case.source, windows[i : i + 1], None if case.prior is None else case.prior[i : i + 1])
        for i in range(len(windows))
    ]
    return EightBitCalibration(ranges=observe_ranges(case.network, examples), frames=3, psnr_db=decibels)


def read_by_layers(case, frame: int) -> dict[str, tuple[float, float]]:
    """The extremes that each rounded layer reads in one frame of a case."""
    seen, hooks = {}, []
    for name, layer in rounded_layers(case.network).items():

        def keep(_, inputs, name=name):
            seen[name] = (inputs[0].min().item(), inputs[0].max().item())

        hooks.append(layer.register_forward_pre_hook(keep))
    part = slice(frame, frame + 1)
    with torch.no_grad():
        case.network(
            case.source, motion_windows(case.motions, 13)[part], None if case.prior is None else case.prior[part]
        )
    for hook in hooks:
        hook.remove()
    return seen


def test_ranges_are_what_the_layers_read_in_most_examples(case):
    calibration = calibration_of(case)
    assert calibration.ranges.keys() == rounded_layers(case.network).keys()
    assert not any(module._forward_pre_hooks for module in case.network.modules())
    seen = [read_by_layers(case, frame) for frame in range(3)]
    for name, span in calibration.ranges.items():
        lows, highs = np.transpose([frame[name] for frame in seen])
        assert span[0] == pytest.approx(np.quantile(lows, 1 - USUAL), abs=1e-4)
        assert span[1] == pytest.approx(np.quantile(highs, USUAL), abs=1e-4)


def test_pictures_and_enlargements_keep_their_precision(guided_case):
    network = guided_case.network
    kept = {network.warping.first, network.warping.last, network.editing.first, network.editing.last}
    kept |= {decoder.up.conv for decoder in network.editing.decoder} | {network.warping.encoder[0].conv_0}
    convolutions = {module for module in network.modules() if isinstance(module, nn.Conv2d)}
    assert set(rounded_layers(network).values()) == convolutions - kept


def test_eight_bits_are_near(guided_case):
    case = guided_case
    images = []
    for engine in (
        TorchEngine(case.network),
        OpenVINOEngine(case.network, precision="int8", calibration=calibration_of(case), threads=1),
    ):
        images.append(engine.render(engine.prepare(case.source), engine.describe(case.motions), case.prior).image)
    assert psnr(*images).min() > 33
    assert (images[0] - images[1]).abs().max() > 1e-3, "nothing was rounded"


def test_auto_takes_eight_bits_where_the_picture_holds(guided_case):
    good, poor = calibration_of(guided_case), calibration_of(guided_case, decibels=39.9)
    assert best_precision(good) == ("int8" if multiplies_eight_bits() else native_precision())
    assert best_precision(poor) == native_precision()
    assert best_precision(None) == native_precision()
    settings = EngineSettings(device="cpu", threads=1)
    built = build_engine(guided_case.network, settings, calibration=good)
    assert built.name == f"openvino-cpu-{best_precision(good)}"


def test_eight_bits_need_a_calibration(guided_case):
    with pytest.raises(EngineError, match="have no calibration: `pirenderer weights calibrate` makes it"):
        build_engine(guided_case.network, EngineSettings(engine="openvino", precision="int8"))
    with pytest.raises(EngineError, match="precision 'int8' is for engine 'openvino' on a CPU"):
        build_engine(guided_case.network, EngineSettings(engine="torch", precision="int8"))


def test_cards_are_read_strictly():
    assert read_eight_bit_calibration({"name": "x"}) is None
    with pytest.raises(WeightsError, match="the card of 'x' holds a damaged calibration"):
        read_eight_bit_calibration({"name": "x", "int8": {"ranges": {"a": [0]}}})


def test_the_released_renderer_is_calibrated():
    calibration = read_eight_bit_calibration(read_card(RENDERER))
    assert calibration is not None
    assert calibration.good
