import json
import typing

import pytest
import torch

from model.engines.builder import EngineSettings
from model.errors import WeightsError
from model.evaluation.engines.benchmark import EAGER, benchmark, engine_settings
from model.evaluation.engines.subjects import Eager, Scene, Subject, made
from model.renderer.config import RendererConfig
from model.renderer.editing import ResidualBlock
from model.weights.card import RendererCard
from model.weights.files import save_weights


@pytest.fixture
def saved(guided_case, tmp_path) -> str:
    """The name of weights in a folder, with a card and without a calibration."""
    network = guided_case.network
    card = RendererCard(motion_space="six", config=network.config.model_dump())
    return str(save_weights(tmp_path, "tiny", network.state_dict(), card, dtype=torch.float32))


@pytest.mark.slow
def test_measures_every_engine_against_eager(saved):
    report = benchmark(saved, frames=2, rounds=1, size=64, threads=1)
    json.dumps(report)
    rows = report["engines"]
    assert {EAGER, "torch-cpu-float32", "openvino-cpu-float32"} <= {row["engine"] for row in rows}
    assert rows[0]["engine"] == EAGER
    assert rows[0]["ratio_to_eager"] == 1
    for row in rows:
        assert row["ms_per_frame"] > 0
        if row["engine"] != EAGER:
            assert row["psnr_db"] > (80 if "float32" in row["engine"] else 30)
    best = [row for row in rows if row.get("best")]
    assert len(best) == len({row["engine"] for row in rows})
    for row in best:
        assert row["ms_per_frame"] == min(other["ms_per_frame"] for other in rows if other["engine"] == row["engine"])
        assert row["peak_memory_mib"] > row["libraries_mib"] > 50
    assert (report["weights"], report["size"], report["frames"]) == ("tiny", 64, 2)
    if "int8" in typing.get_args(EngineSettings.model_fields["precision"].annotation):
        assert "calibrat" in report["skipped"]["openvino-cpu-int8"]


def test_batches_and_streams_that_are_tried_fit_the_frames():
    shapes = {(s.engine, s.batch_size, s.streams) for s in engine_settings("cpu", 2, 4)}
    assert shapes == {("torch", 1, None), *(("openvino", *shape) for shape in ((1, 1), (1, 2), (4, 1)))}
    assert all(s.batch_size * (s.streams or 1) <= 2 for s in engine_settings("cpu", 8, 2))
    assert {s.precision for s in engine_settings("cuda", None, 64)} >= {"float32", "bfloat16"}


def test_eager_pays_for_the_convolutions_without_effect_and_gives_the_same_pictures(plain_case, monkeypatch):
    network = plain_case.network
    scene = Scene(plain_case.source, plain_case.motions)
    eager = Eager(network, scene, "cpu")
    calls = []
    real = torch.nn.Conv2d.forward
    monkeypatch.setattr(torch.nn.Conv2d, "forward", lambda self, x: calls.append(self) or real(self, x))
    images = eager.images()
    blocks = [module for module in eager.network.modules() if isinstance(module, ResidualBlock)]
    assert blocks
    for block in blocks:
        assert sum(layer is block.conv for layer in calls) == 2 * len(plain_case.motions)
    assert not any(module._forward_pre_hooks for module in network.modules())
    windows = [window[None] for window in eager._windows]
    with torch.no_grad():
        expected = torch.cat([network(plain_case.source, window).image for window in windows])
    torch.testing.assert_close(images, expected)


def test_subjects_by_name_and_by_file(saved):
    tiny = Subject.load(saved)
    assert (tiny.weights, tiny.motion_space, tiny.speaks) == ("tiny", "six", False)
    with pytest.raises(WeightsError, match=r"no weights card 'nobody\.json'"):
        Subject.load("nobody")


def test_made_weights_give_pictures_with_contrast():
    config = RendererConfig.full(73)
    small = config.model_copy(
        update={
            "warping": config.warping.model_copy(update={"base_channels": 4}),
            "editing": config.editing.model_copy(update={"base_channels": 8}),
        }
    )
    network = made(small)
    image = Eager(network, Scene.made(small, 1, 64), "cpu").images()
    assert image.std() > 0.1
    assert torch.equal(image, Eager(made(small), Scene.made(small, 1, 64), "cpu").images())
