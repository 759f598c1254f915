import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from model.cli import weights
from model.errors import WeightsError
from model.extractor.deep3d import import_deep3d
from model.extractor.deep3d.official import read_network, read_standard_face
from model.weights.files import load_weights
from tests.model.renderer.test_official import Harmful
from tests.support.deep3d import FACE, landmarks_68, made_network, mat_file, save_checkpoint


@pytest.fixture(scope="module")
def network() -> dict[str, torch.Tensor]:
    return made_network()


def test_import_writes_weights_and_standard_face_as_they_were(imported, network):
    state, card = load_weights("extractor-bfm-deep3d", imported)
    assert (card["kind"], card["motion_space"], card["dimension"]) == ("extractor", "bfm-deep3d", 73)
    assert "Basel Face Model" in card["licence"]
    np.testing.assert_allclose(state.pop("standard_face").numpy(), FACE, rtol=1e-6)
    assert state.keys() == network.keys()
    for key, value in network.items():
        assert torch.equal(state[key], value), key


def test_names_missing_unknown_and_misshapen_keys(network, standard_face, tmp_path):
    lost = "backbone.layer3.5.bn2.running_var"
    extra = {"backbone.fc.weight": torch.zeros(257, 2048)}
    bent = {"final_layers.1.weight": torch.zeros(79, 2048, 1, 1)}
    for changed, named in (
        ({key: value for key, value in network.items() if key != lost}, rf"missing \['{lost}'\], unknown \[\]"),
        (network | extra, r"missing \[\], unknown \['backbone.fc.weight'\]"),
        (network | bent, r"misshapen \['final_layers.1.weight \(79, 2048, 1, 1\) instead of \(64, 2048, 1, 1\)"),
    ):
        path = save_checkpoint(tmp_path / "epoch_20.pth", changed)
        with pytest.raises(WeightsError, match=f"epoch_20.pth does not fit the network: .*{named}"):
            import_deep3d(path, standard_face, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_refuses_numbers_that_are_not_finite(network, standard_face, tmp_path):
    broken = network | {"final_layers.3.bias": torch.tensor([0.0, float("nan"), 0.0])}
    with pytest.raises(WeightsError, match=r"'final_layers\.3\.bias' is not finite"):
        import_deep3d(save_checkpoint(tmp_path / "nan.pth", broken), standard_face, tmp_path / "out")


def test_executes_nothing_of_a_pickle(standard_face, tmp_path):
    witness = tmp_path / "witness"
    path = save_checkpoint(tmp_path / "harmful.pth", Harmful(witness))
    with pytest.raises(WeightsError, match=r"harmful.pth cannot be read: UnpicklingError"):
        import_deep3d(path, standard_face, tmp_path / "out")
    assert not witness.exists()


def test_refuses_files_that_are_no_such_checkpoint(tmp_path):
    whole = save_checkpoint(tmp_path / "whole.pth", {"a": torch.zeros(1000)}).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "photo.pth").write_bytes(b"\xff\xd8\xff\xe0 not weights at all")
    for name in ("cut.pth", "empty.pth", "photo.pth", "absent.pth"):
        with pytest.raises(WeightsError, match=f"Deep3DFaceRecon weights .*{name} cannot be read"):
            read_network(tmp_path / name)
    torch.save({"net_G_ema": {}}, tmp_path / "renderer.pt")
    with pytest.raises(WeightsError, match=r"renderer.pt holds \['net_G_ema'\]; Deep3DFaceRecon's have 'net_recon'"):
        read_network(tmp_path / "renderer.pt")
    with pytest.raises(WeightsError, match=r"net_recon\['epoch'\] is of type int; allowed are tensors"):
        read_network(save_checkpoint(tmp_path / "odd.pth", {"epoch": 20}))


def test_the_standard_face_is_read_from_matlab_and_from_text(standard_face, tmp_path):
    np.testing.assert_allclose(read_standard_face(standard_face), FACE, atol=1e-12)
    for name, points in (("five.txt", FACE), ("all.txt", landmarks_68())):
        np.savetxt(tmp_path / name, points)
        np.testing.assert_allclose(read_standard_face(tmp_path / name), FACE, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("seven.txt", b"1 2 3\n" * 7, r"has the shape \(7, 3\); a standard face has 68 or 5 finite points"),
        ("words.txt", b"a face\n", "cannot be read: ValueError"),
        ("nan.txt", b"nan 1 2\n" * 5, "finite"),
        ("photo.mat", b"\xff\xd8\xff\xe0 not MATLAB", "cannot be read: ValueError: a file that begins with"),
        ("other.mat", mat_file("id", FACE), r"matrices named \['id'\]; allowed is one named 'lm'"),
        ("few.mat", mat_file("lm", FACE[:4]), r"has the shape \(4, 3\)"),
        ("down.mat", mat_file("lm", FACE * (1, -1, 1)), "no face that stands upright"),
        ("mirrored.mat", mat_file("lm", FACE * (-1, 1, 1)), "no face that stands upright"),
        ("flat.mat", mat_file("lm", FACE * (1, 1, 0)), "and has depth"),
        ("large.mat", bytes(2 << 20), "has 2097152 bytes; allowed are 1048576"),
    ],
)
def test_refuses_what_is_no_standard_face(name, content, named, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{name}.*{named}"):
        read_standard_face(tmp_path / name)
    with pytest.raises(WeightsError, match="cannot be read: FileNotFoundError"):
        read_standard_face(tmp_path / "absent.mat")


def test_the_command_says_what_is_wrong(checkpoint, tmp_path):
    (tmp_path / "face.txt").write_text("1 2 3\n")
    face, out = ["--standard-face", str(tmp_path / "face.txt")], ["--out", str(tmp_path / "out")]
    result = CliRunner().invoke(weights, ["import-deep3d", str(checkpoint), *face, *out])
    assert result.exit_code == 1
    assert "face.txt has the shape (1, 3)" in result.output
    assert not (tmp_path / "out").exists()
