import pytest
import torch

from model.errors import WeightsError
from model.inspect_weights import inspect_weights
from model.weights.card import Card
from model.weights.files import save_weights


def test_our_weights_with_their_card(tmp_path):
    state = {"mapping.first.weight": torch.ones(2, 3), "warping.last.bias": torch.zeros(4)}
    path = save_weights(tmp_path, "thing", state, Card(kind="renderer", motion_space="open478"))
    report = inspect_weights(path)
    assert report["format"] == "safetensors"
    assert report["parameters"] == 10
    assert report["parameters_by_part"] == {"mapping": 6, "warping": 4}
    assert report["dtypes"] == ["float16"]
    assert report["motion_space"] == "open478"
    assert report["bytes"] == path.stat().st_size
    assert report["finite"]
    path.with_suffix(".json").unlink()
    assert "motion_space" not in inspect_weights(path)


def test_refuses_what_is_no_weights_file(tmp_path):
    with pytest.raises(WeightsError, match="no weights file at"):
        inspect_weights(tmp_path / "absent.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(WeightsError, match=r"cut\.safetensors is not a whole safetensors file"):
        inspect_weights(tmp_path / "cut.safetensors")
    (tmp_path / "photo.pt").write_bytes(b"\xff\xd8\xff\xe0 no checkpoint")
    with pytest.raises(WeightsError, match=r"photo\.pt is not a checkpoint"):
        inspect_weights(tmp_path / "photo.pt")
