"""Whether two pictures show one person, by a face recognition network that the user brings.

Networks trained with ArcFace (Deng et al., "ArcFace: additive angular margin loss for deep face recognition", CVPR
2019) read faces of 112x112 whose eyes, nose and corners of the mouth lie at five given points; the cosine of two of
their features tells how alike the people are. The weights are not ours to ship.
"""

from pathlib import Path

import cv2
import numpy as np
import openvino

from model.arrays import Floats, Frames, Landmarks, Pixels
from model.errors import WeightsError

SIDE = 112
# Of the standard face: the eye on the left as seen, the other, nose, corners of the mouth from left to right.
FIVE_POINTS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
LANDMARKS = (468, 473, 1, 61, 291)  # the same, of the 478


class ArcFace:
    """Features of faces."""

    def __init__(self, path: Path) -> None:
        """Read a network: an ONNX file, or OpenVINO's .xml with its .bin beside it.

        Raises WeightsError: the file is missing, damaged, or does not take faces (N, 3, 112, 112) to features (N, D).
        """
        core = openvino.Core()
        try:
            model = core.read_model(path)
        except RuntimeError as error:
            raise WeightsError(
                f"identity model {path} cannot be read: {str(error).strip().splitlines()[-1]}"
            ) from error
        inputs, outputs = ([port.partial_shape for port in ports] for ports in (model.inputs, model.outputs))
        wanted = openvino.PartialShape([-1, 3, SIDE, SIDE])
        if len(inputs) != 1 or not inputs[0].compatible(wanted) or len(outputs) != 1 or outputs[0].rank != 2:
            raise WeightsError(
                f"identity model {path} takes {[str(shape) for shape in inputs]} to "
                f"{[str(shape) for shape in outputs]}; allowed is one input [N,3,{SIDE},{SIDE}] and one output [N,D]"
            )
        model.reshape([1, 3, SIDE, SIDE])  # one shape, compiled once, however many faces are asked for
        self._compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def features(self, pictures: Frames, landmarks: Landmarks) -> Floats:
        """Unit vectors (B, D) of RGB pictures (B, H, W, 3) with landmarks (B, 478, 2 or 3) in their pixels."""
        read = [
            self._compiled(_normalised(aligned(picture, points)))[0][0]
            for picture, points in zip(pictures, landmarks, strict=True)
        ]
        features = np.stack(read).astype(np.float32)
        unit: Floats = features / np.linalg.norm(features, axis=1, keepdims=True)
        return unit


def aligned(picture: Pixels, landmarks: Landmarks) -> Pixels:
    """The face (112, 112, 3), turned and scaled so that its five points are nearest to where the networks want them.

    The similarity x -> a x + b in complex numbers that is least off in squares.
    """
    points, wanted = (p[:, 0] + 1j * p[:, 1] for p in (landmarks[list(LANDMARKS), :2], FIVE_POINTS))
    centred, goal = points - points.mean(), wanted - wanted.mean()
    a = (centred.conj() * goal).sum() / (np.abs(centred) ** 2).sum()
    b = wanted.mean() - a * points.mean()
    matrix = np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
    face: Pixels = cv2.warpAffine(picture, matrix, (SIDE, SIDE))
    return face


def _normalised(face: Pixels) -> Floats:
    """RGB bytes (H, W, 3) as (1, 3, H, W) in [-1, 1]."""
    return np.ascontiguousarray(face.transpose(2, 0, 1)[None], np.float32) / 127.5 - 1.0
