from pathlib import Path

import pytest

from model.extractor.deep3d import import_deep3d
from tests.support.deep3d import landmarks_68, made_network, mat_file, save_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("theirs") / "epoch_20.pth", made_network())


@pytest.fixture(scope="session")
def standard_face(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("BFM") / "similarity_Lm3D_all.mat"
    path.write_bytes(mat_file("lm", landmarks_68()))
    return path


@pytest.fixture(scope="session")
def imported(checkpoint, standard_face, tmp_path_factory) -> Path:
    """Folder of weights that holds what was made of these two."""
    return import_deep3d(checkpoint, standard_face, tmp_path_factory.mktemp("weights")).parent
