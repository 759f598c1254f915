"""What a user of Deep3DFaceRecon has, made up: a checkpoint of its layout and the file of the standard face.

The real files belong to others and are in no test. Keys and shapes are written out from the published architecture,
not asked of our network.
"""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

# Eyes, tip of the nose and corners of the mouth in decimetres: x right, y up, z to the viewer.
FACE = np.array(
    [[-0.32, 0.3, 0.1], [0.3, 0.32, 0.12], [0.0, 0.0, 0.5], [-0.25, -0.3, 0.2], [0.26, -0.32, 0.2]], np.float64
)


def trunk_shapes() -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a ResNet-50 without its classifier."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, norm: str, outputs: int, inputs: int, side: int) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs, side, side)
        for kind in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{kind}"] = (outputs,)
        shapes[f"{norm}.num_batches_tracked"] = ()

    convolution("conv1", "bn1", 64, 3, 7)
    inputs = 64
    for layer, (inner, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], 1):
        for block in range(blocks):
            prefix = f"layer{layer}.{block}"
            convolution(f"{prefix}.conv1", f"{prefix}.bn1", inner, inputs, 1)
            convolution(f"{prefix}.conv2", f"{prefix}.bn2", inner, inner, 3)
            convolution(f"{prefix}.conv3", f"{prefix}.bn3", 4 * inner, inner, 1)
            if block == 0:
                convolution(f"{prefix}.downsample.0", f"{prefix}.downsample.1", 4 * inner, inputs, 1)
            inputs = 4 * inner
    return shapes


def made(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """A tensor drawn from its key."""
    if key.endswith("num_batches_tracked"):
        return torch.tensor(1000)
    drawn: np.ndarray = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)
    if key.endswith("running_var"):
        drawn = 1 + 0.1 * np.abs(drawn)
    elif len(shape) == 1:
        drawn = 0.1 * drawn + key.endswith("weight")
    else:
        drawn = drawn * np.sqrt(2 / np.prod(shape[1:]))
    return torch.from_numpy(drawn.astype(np.float32))


def made_network() -> dict[str, torch.Tensor]:
    """The state dict of a reconstruction network: trunk, and a 1x1 convolution for each group of coefficients."""
    state = {f"backbone.{key}": made(f"backbone.{key}", shape) for key, shape in trunk_shapes().items()}
    for index, size in enumerate((80, 64, 80, 3, 27, 2, 1)):
        name = f"final_layers.{index}"
        state[f"{name}.weight"] = 0.01 * made(f"{name}.weight", (size, 2048, 1, 1))
        state[f"{name}.bias"] = made(f"{name}.bias", (size,))
    return state


def save_checkpoint(path: Path, network: Any) -> Path:
    """A file as that project's training writes one: the network beside optimiser and schedule."""
    schedule = {"step_size": 10, "gamma": 0.2, "base_lrs": [1e-4], "last_epoch": 20, "_last_lr": [1e-4]}
    optimiser = {"state": {0: {"step": 9, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
    torch.save({"net_recon": network, "opt_00": optimiser, "sched_00": schedule}, path)
    return path


def landmarks_68(five: np.ndarray = FACE) -> np.ndarray:
    """68 points (68, 3) of the iBUG scheme with these eyes, nose and mouth; the others are elsewhere."""
    points = np.random.default_rng(0).uniform(-1, 1, (68, 3))
    for (outer, inner), eye in zip(((36, 39), (45, 42)), five, strict=False):
        corner = np.array([0.1, 0.02, -0.03])
        points[outer], points[inner] = eye - corner, eye + corner
    points[30], points[48], points[54] = five[2:]
    return points


def mat_file(name: str, matrix: np.ndarray, *, compressed: bool = True, order: str = "<") -> bytes:
    """A MATLAB file of level 5 with one matrix, by the published format."""

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(f"{order}II", kind, len(data)) + data + bytes(-len(data) % 8)

    whole = element(6, struct.pack(f"{order}II", 6, 0))  # a matrix of class double
    whole += element(5, struct.pack(f"{order}{matrix.ndim}i", *matrix.shape))
    if len(name) <= 4:  # a small element
        whole += struct.pack(f"{order}I", len(name) << 16 | 1) + name.encode().ljust(4, b"\0")
    else:
        whole += element(1, name.encode())
    whole += element(9, matrix.astype(f"{order}f8").tobytes(order="F"))
    whole = element(14, whole)
    if compressed:
        packed = zlib.compress(whole)
        whole = struct.pack(f"{order}II", 15, len(packed)) + packed
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}H", 0x0100) + (b"IM" if order == "<" else b"MI")
    return header + whole
