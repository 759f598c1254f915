"""Import of a Deep3DFaceRecon checkpoint and of the standard face that its faces are aligned to, as users have them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.arrays import Doubles
from model.errors import WeightsError
from model.extractor.deep3d.alignment import FIVE_OF_68, five_points
from model.extractor.deep3d.coefficients import DIMENSION, MOTION_SPACE
from model.extractor.deep3d.extractor import STANDARD_FACE, WEIGHTS
from model.extractor.deep3d.matfile import read_matrix
from model.extractor.deep3d.network import Deep3DNetwork
from model.weights.card import Card
from model.weights.files import load_into, read_state_dict, save_weights

NETWORK = "net_recon"
"""The reconstruction network in a checkpoint of Deep3DFaceRecon_pytorch; the rest is of its training."""

LARGEST_FACE_FILE = 1 << 20  # bytes; 68 points need some two thousand


def import_deep3d(checkpoint: Path, standard_face: Path, out: Path) -> Path:
    """Write a checkpoint and its standard face as `out`/extractor-bfm-deep3d.safetensors with a card; returns its path.

    Only tensors and plain containers are unpickled. See `read_standard_face` for that file.

    Raises WeightsError: either file is missing, damaged or another, or keys are missing, unknown, misshapen or not
    finite.
    """
    points = read_standard_face(standard_face)
    state = read_network(checkpoint)
    network = Deep3DNetwork()
    load_into(network, state, checkpoint.name)
    card = Card(
        kind="extractor",
        motion_space=MOTION_SPACE,
        dimension=DIMENSION,
        licence="as whoever gave you the checkpoint says; the Basel Face Model has terms of its own",
        intended_use="what those licences allow",
        data="see the publication of Deep3DFaceRecon (Deng et al., CVPRW 2019)",
        recipe=f"imported from {checkpoint.name}, {NETWORK}, and {standard_face.name}",
    )
    kept = {**network.state_dict(), STANDARD_FACE: torch.from_numpy(points)}
    return save_weights(out, WEIGHTS, kept, card, dtype=torch.float32)


def read_network(checkpoint: Path) -> dict[str, Tensor]:
    """The reconstruction network's state dict. Raises WeightsError."""
    content = read_state_dict(checkpoint, "Deep3DFaceRecon")
    state = content.get(NETWORK)
    if not isinstance(state, Mapping):
        raise WeightsError(f"{checkpoint.name} holds {sorted(map(str, content))}; Deep3DFaceRecon's have {NETWORK!r}")
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"{checkpoint.name}: {NETWORK}[{key!r}] is of type {type(value).__name__}; allowed are tensors"
            )
    return dict(state)


def read_standard_face(path: Path) -> Doubles:
    """Five points (5, 3) of the standard face: x to the right, y up, z to the viewer, in decimetres.

    A MATLAB file has 68 points of the iBUG scheme as `lm` (Deep3DFaceRecon's similarity_Lm3D_all.mat); a text file has
    68 or 5 lines of three numbers, the five being the viewer's left and right eye, the tip of the nose, and the
    viewer's left and right corner of the mouth.

    Raises WeightsError: the file is missing, or holds something else.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FACE_FILE:
            raise WeightsError(f"standard face {path} has {size} bytes; allowed are {LARGEST_FACE_FILE}")
        points = (
            read_matrix(path.read_bytes(), "lm")
            if path.suffix == ".mat"
            else np.loadtxt(path, dtype=np.float64, ndmin=2)
        )
    except (OSError, ValueError) as error:
        raise WeightsError(f"standard face {path} cannot be read: {type(error).__name__}: {error}") from error
    if points.shape not in {(68, 3), (5, 3)} or not np.isfinite(points).all():
        raise WeightsError(
            f"{path.name} has the shape {points.shape}; a standard face has 68 or 5 finite points (N, 3)"
        )
    five = five_points(points, FIVE_OF_68) if len(points) == 68 else points
    (left_eye, right_eye, _, left_mouth, right_mouth), rank = five, np.linalg.matrix_rank(five - five.mean(axis=0))
    upright = min(left_eye[1], right_eye[1]) > max(left_mouth[1], right_mouth[1])
    if not (upright and left_eye[0] < right_eye[0] and left_mouth[0] < right_mouth[0] and rank == 3):
        raise WeightsError(
            f"standard face {path.name} is no face that stands upright and has depth: eyes, nose and mouth are at "
            f"{five.round(3).tolist()}"
        )
    return five
