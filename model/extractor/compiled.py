"""The extractor's convolutions on the CPU through OpenVINO; its geometry stays where it is, in torch.

A stack of layers becomes a graph of one input and any batch size, built operation by operation, so that the same
weights give the same graph and a compiled one is found again in the cache.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from openvino import opset13 as ops
from torch import Tensor, nn

from model.extractor.layers import ResidualBlock
from model.extractor.network import FaceNetwork

Node = Any
"""An operation of the graph."""


def compiled(network: FaceNetwork, *, threads: int | None = None, cache_directory: Path | None = None) -> FaceNetwork:
    """A copy of the network whose convolutions run in OpenVINO, in float32: the same numbers up to rounding.

    threads: of the processor, all when None. cache_directory: where compiled graphs are kept.
    """
    properties: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "f32",  # landmarks in bfloat16 would be off by tenths of a pixel
        "PERFORMANCE_HINT": "LATENCY",
        **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
        **({"CACHE_DIR": str(cache_directory)} if cache_directory else {}),
    }
    fast = copy.deepcopy(network).cpu().eval().requires_grad_(requires_grad=False)
    size = network.config.input_size
    fast.features = CompiledLayers(fast.features, size, "face", properties)
    if fast.details is not None:
        for name, part in (("eye", fast.details.eye), ("mouth", fast.details.mouth)):
            part.features = CompiledLayers(part.features, part.size, name, properties)
    return fast


class CompiledLayers(nn.Module):
    """Layers of a picture (B, 3, S, S), compiled; their result (B, C, H, W) or (B, N) as float32."""

    def __init__(self, layers: nn.Module, size: int, name: str, properties: dict[str, Any]) -> None:
        super().__init__()
        picture = ops.parameter([-1, 3, size, size], np.float32, name="picture")
        with torch.no_grad():
            result = ops.result(_added(picture, layers), name="result")
        graph = openvino.Model([result], [picture], f"extractor_{name}")
        self._compiled = openvino.Core().compile_model(graph, "CPU", properties)
        self._request = self._compiled.create_infer_request()

    def forward(self, x: Tensor) -> Tensor:
        """One run of the graph; the result is a copy, which a later run does not overwrite."""
        found = self._request.infer([x.contiguous().numpy()], share_inputs=True)
        return torch.from_numpy(np.array(found[0]))


def _added(node: Node, layers: nn.Module) -> Node:
    """The graph with `layers` behind `node`; a batch norm is folded into the convolution before it."""
    for layer, norm in _with_norms(layers):
        if isinstance(layer, nn.Conv2d):
            node = _convolution(node, layer, norm)
        elif isinstance(layer, ResidualBlock):
            inner = ops.relu(_convolution(node, layer.conv1, layer.norm1))
            node = ops.relu(ops.add(node, _convolution(inner, layer.conv2, layer.norm2)))
        elif isinstance(layer, nn.ReLU):
            node = ops.relu(node)
        else:
            raise TypeError(f"{type(layer).__name__} has no operation here; allowed are convolutions, norms and ReLU")
    return node


def _with_norms(layers: nn.Module) -> Iterator[tuple[nn.Module, nn.BatchNorm2d | None]]:
    """Each layer with the batch norm that follows it, which does not come again."""
    parts = list(layers.children())
    for layer, following in zip(parts, [*parts[1:], None], strict=True):
        if not isinstance(layer, nn.BatchNorm2d):
            yield layer, following if isinstance(following, nn.BatchNorm2d) else None


def _convolution(node: Node, layer: nn.Conv2d, norm: nn.BatchNorm2d | None) -> Node:
    folded = layer if norm is None else nn.utils.fuse_conv_bn_eval(layer, norm)
    pads, step = np.array(layer.padding), np.array(layer.stride)
    weight = ops.constant(folded.weight.float().numpy())
    result = ops.convolution(node, weight, step, pads, pads, np.array(layer.dilation))
    if folded.bias is None:
        return result
    return ops.add(result, ops.constant(folded.bias.float().numpy().reshape(1, -1, 1, 1)))
