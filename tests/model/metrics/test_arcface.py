"""Faces are brought to where recognising networks want them, and such a network is asked as it expects."""

from pathlib import Path

import cv2
import numpy as np
import openvino
import pytest
from openvino import opset13 as ops

from model.errors import WeightsError
from model.metrics.arcface import FIVE_POINTS, LANDMARKS, SIDE, ArcFace, aligned
from model.morphable import MorphableModel


def save(folder: Path, node: openvino.Node, parameter: openvino.Node) -> Path:
    path = folder / "network.xml"
    openvino.save_model(openvino.Model([node], [parameter], "network"), path, compress_to_fp16=False)
    return path


def mean_colours(folder: Path) -> Path:
    """A network whose features are the face's mean red, green and blue."""
    faces = ops.parameter([-1, 3, SIDE, SIDE], np.float32)
    return save(folder, ops.reduce_mean(faces, np.array([2, 3], np.int64), keep_dims=False), faces)


@pytest.fixture
def face(morphable: MorphableModel) -> np.ndarray:
    return morphable.mean.numpy() * 80 + 128  # small enough for what belongs to it to lie in the picture


def test_a_turned_and_shrunken_face_comes_to_lie_as_wanted(face: np.ndarray) -> None:
    turn = cv2.getRotationMatrix2D((128, 128), 25, 0.7)
    landmarks = face[:, :2] @ turn[:, :2].T + turn[:, 2]
    picture = np.zeros((256, 256, 3), np.uint8)
    for point in landmarks[list(LANDMARKS)]:
        cv2.circle(picture, np.rint(point).astype(int).tolist(), 2, (255, 255, 255), -1)
    brought = aligned(picture, landmarks.astype(np.float32))
    assert brought.shape == (SIDE, SIDE, 3)
    for x, y in FIVE_POINTS:  # the mean face is nearly, not quite, the standard one
        assert brought[round(y) - 7 : round(y) + 8, round(x) - 7 : round(x) + 8].max() > 150


def test_features_are_unit_vectors_of_rgb_from_minus_one_to_one(tmp_path: Path, face: np.ndarray) -> None:
    network = ArcFace(mean_colours(tmp_path))
    red = np.zeros((1, 256, 256, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_allclose(network.features(red, face[None]), [[3**-0.5, -(3**-0.5), -(3**-0.5)]], atol=1e-6)


def test_a_network_of_another_kind_is_refused(tmp_path: Path) -> None:
    small = ops.parameter([1, 3, 64, 64], np.float32)
    with pytest.raises(WeightsError, match=r"allowed is one input \[N,3,112,112\] and one output \[N,D\]"):
        ArcFace(save(tmp_path, ops.reduce_mean(small, np.array([2, 3], np.int64), keep_dims=False), small))
    maps = ops.parameter([-1, 3, SIDE, SIDE], np.float32)
    with pytest.raises(WeightsError, match="one output"):
        ArcFace(save(tmp_path, ops.relu(maps), maps))


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(b"not a network")
    for name in ("network.onnx", "absent.onnx"):
        with pytest.raises(WeightsError, match="cannot be read"):
            ArcFace(tmp_path / name)
