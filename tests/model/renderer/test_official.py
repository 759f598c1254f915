import pickle
from pathlib import Path

import pytest
import torch

from model.errors import WeightsError
from model.inspect_weights import inspect_weights
from model.renderer import EditingConfig, PIRenderer, RendererConfig, WarpingConfig
from model.renderer.official import import_official, load_official_checkpoint, official_keys
from model.weights.files import load_weights


@pytest.fixture
def network() -> PIRenderer:
    torch.manual_seed(0)
    return PIRenderer(
        RendererConfig(
            motion_dimension=9,
            descriptor_size=12,
            adain_hidden=7,
            warping=WarpingConfig(base_channels=4, max_channels=16),
            editing=EditingConfig(base_channels=6, max_channels=24),
        )
    )


@pytest.fixture
def theirs(network) -> dict[str, torch.Tensor]:
    """The network's weights under the authors' keys and in their shapes."""
    state = {}
    for key, value in network.state_dict().items():
        names = official_keys(key, network.config)
        for name, part in zip(names, value.chunk(len(names)), strict=True):
            layer_norm = value.dim() == 1 and (".model.1." in name or ".flow_out.0." in name)
            state[name] = part.clone().view(-1, 1, 1) if layer_norm else part.clone()
    for block in ("res2.res0", "res0.res1"):  # keys without effect
        state[f"editing_net.decoder.{block}.conv1.weight"] = torch.randn(24, 24, 3, 3)
        state[f"editing_net.decoder.{block}.norm1.mlp_gamma.bias"] = torch.randn(24)
    return state


def save(path: Path, state: dict[str, torch.Tensor]) -> Path:
    raw = {key: torch.zeros_like(value) for key, value in state.items()}
    torch.save({"net_G": raw, "net_G_ema": state, "opt_G": {}, "sch_G": {}, "current_iteration": 400000}, path)
    return path


def test_round_trip_infers_every_size(network, theirs, tmp_path):
    loaded = load_official_checkpoint(save(tmp_path / "epoch.pt", theirs))
    assert loaded.config == network.config
    assert not loaded.training
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


def test_names_missing_unknown_and_misshapen_keys(theirs, tmp_path):
    lost = "warpping_net.hourglass.decoder.decoder3.norm_s.mlp_beta.weight"
    with pytest.raises(WeightsError, match=rf"missing \['{lost}'\], unknown \[\]"):
        load_official_checkpoint(save(tmp_path / "a.pt", {k: v for k, v in theirs.items() if k != lost}))
    extra = {"editing_net.decoder.up2.model.7.weight": torch.ones(1)}
    with pytest.raises(WeightsError, match=r"missing \[\], unknown \['editing_net.decoder.up2.model.7.weight'\]"):
        load_official_checkpoint(save(tmp_path / "b.pt", theirs | extra))
    bent = {"editing_net.decoder.jump1.model.1.weight": torch.ones(5, 1, 1)}
    with pytest.raises(WeightsError, match=r"misshapen \['editing_net.decoder.jump1.model.1.weight \(5, 1, 1\) inst"):
        load_official_checkpoint(save(tmp_path / "c.pt", theirs | bent))
    first = {"mapping_net.first.0.weight": torch.ones(12, 9)}
    with pytest.raises(WeightsError, match=r"\(12, 9\); allowed are 3 dimensions"):
        load_official_checkpoint(save(tmp_path / "d.pt", theirs | first))


def test_refuses_weights_that_are_not_finite(theirs, tmp_path):
    theirs["warpping_net.flow_out.2.bias"][0] = float("nan")
    with pytest.raises(WeightsError, match=r"warpping_net\.flow_out\.2\.bias holds NaN or infinity"):
        load_official_checkpoint(save(tmp_path / "nan.pt", theirs))


class Harmful:
    """Unpickled in full, this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize(
    "writer", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))]
)
def test_executes_nothing_of_a_pickle(writer, tmp_path):
    witness, path = tmp_path / "witness", tmp_path / "harmful.pt"
    writer({"net_G_ema": Harmful(witness)}, path)
    with pytest.raises(WeightsError, match=r"harmful.pt is not a checkpoint of tensors alone.*: it holds getattr;"):
        load_official_checkpoint(path)
    assert not witness.exists()


def test_refuses_files_that_are_no_checkpoint(theirs, tmp_path):
    whole = save(tmp_path / "whole.pt", theirs).read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "photo.pt").write_bytes(b"\xff\xd8\xff\xe0 not weights at all")
    for name in ("cut.pt", "empty.pt", "photo.pt"):
        with pytest.raises(WeightsError, match=f"{name} is not a checkpoint"):
            load_official_checkpoint(tmp_path / name)
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"holds \['state_dict'\]; a checkpoint of the authors has 'net_G_ema'"):
        load_official_checkpoint(tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="no checkpoint at"):
        load_official_checkpoint(tmp_path / "absent.pt")


def test_import_writes_weights_that_load_as_they_were(network, theirs, tmp_path):
    checkpoint = save(tmp_path / "epoch.pt", theirs)
    path = import_official(checkpoint, "my-space", tmp_path / "out")
    assert path.name == "renderer-my-space.safetensors"
    state, card = load_weights(path.stem, path.parent)
    assert RendererConfig.model_validate(card["config"]) == network.config
    assert (card["motion_space"], card["dimension"]) == ("my-space", 9)
    for key, value in network.state_dict().items():
        assert torch.equal(state[key], value), key
    report = inspect_weights(checkpoint)
    assert report["dimension"] == 9
    assert set(report["parameters_by_part"]) == {"mapping_net", "warpping_net", "editing_net"}
    assert inspect_weights(path)["motion_space"] == "my-space"


def test_import_refuses_another_motion_space(theirs, tmp_path):
    checkpoint = save(tmp_path / "epoch.pt", theirs)
    with pytest.raises(WeightsError, match="takes motions of dimension 9; bfm-deep3d has 73"):
        import_official(checkpoint, "bfm-deep3d", tmp_path / "out")
    with pytest.raises(WeightsError, match=r"motion space is '\.\./x'; allowed are"):
        import_official(checkpoint, "../x", tmp_path / "out")
    assert not (tmp_path / "out").exists()
