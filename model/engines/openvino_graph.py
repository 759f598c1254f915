"""The renderer as an OpenVINO graph of fixed shapes."""

import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import structlog
import torch
from openvino import opset13
from torch import Tensor, nn

from model.renderer.network import PIRenderer, PortraitState

log = structlog.get_logger(__name__)

GRAPH_VERSION = 1
"""Part of the name of a cached graph: raise it when this module or the network builds another graph."""


class _Frame(nn.Module):
    """`PIRenderer.render` with tensors for arguments; the stems come with channels last, as the CPU wants them."""

    def __init__(self, network: PIRenderer) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, source: Tensor, warping_stem: Tensor, editing_stem: Tensor, z: Tensor, prior_flow: Tensor | None = None
    ) -> Tensor:
        portrait = PortraitState(source, warping_stem.permute(0, 3, 1, 2), editing_stem.permute(0, 3, 1, 2))
        return self.network.render(portrait, z, prior_flow).image


def build_graph(network: PIRenderer, *, batch: int, height: int, width: int) -> Any:
    """Export the network on the CPU.

    Inputs by name: source (1, 3, H, W), warping_stem and editing_stem (1, H, W, C), z (B, Z) and, when the network is
    guided, prior_flow (B, 2, h, w). Output: image (B, 3, H, W).
    """
    config = network.config
    scale = config.warping.flow_scale
    examples = [
        torch.zeros(1, 3, height, width),
        torch.zeros(1, height, width, config.warping.base_channels),
        torch.zeros(1, height, width, config.editing.base_channels),
        torch.zeros(batch, config.descriptor_size),
    ]
    if config.guided:
        examples.append(torch.zeros(batch, 2, height // scale, width // scale))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch warns of its own internals here
        program = torch.export.export(_Frame(network.eval()), tuple(examples))
        graph = openvino.convert_model(program)
    names = ("source", "warping_stem", "editing_stem", "z", "prior_flow")
    graph.reshape({name: list(example.shape) for name, example in zip(names, examples, strict=False)})
    _norms_as_mvn(graph)
    graph.validate_nodes_and_infer_types()
    return graph


def cached_graph(network: PIRenderer, directory: Path | None, *, batch: int, height: int, width: int) -> Any:
    """`build_graph`, kept as a file in `directory`; a damaged file is replaced."""
    if directory is None:
        return build_graph(network, batch=batch, height=height, width=width)
    path = graph_path(network, directory, batch=batch, height=height, width=width)
    if path.is_file():
        try:
            return openvino.Core().read_model(path)
        except RuntimeError as error:
            log.warning("cached graph is damaged", path=str(path), reason=str(error).strip().splitlines()[-1])
    directory.mkdir(parents=True, exist_ok=True)
    graph = build_graph(network, batch=batch, height=height, width=width)
    # Weights first, then the file that is looked for: another process sees a whole graph or none.
    fresh = directory / f".{path.stem}-{os.getpid()}.xml"
    openvino.save_model(graph, fresh, compress_to_fp16=False)
    fresh.with_suffix(".bin").replace(path.with_suffix(".bin"))
    fresh.replace(path)
    return graph


def graph_path(network: PIRenderer, directory: Path, *, batch: int, height: int, width: int) -> Path:
    """Where `cached_graph` keeps a graph: the name tells weights, sizes and versions."""
    versions = [GRAPH_VERSION, openvino.__version__, torch.__version__]
    described = json.dumps([versions, network.config.model_dump(), batch, height, width])
    digest = hashlib.sha256(described.encode())
    for key, value in network.state_dict().items():
        digest.update(key.encode())
        digest.update(value.contiguous().numpy())
    return directory / f"renderer-{digest.hexdigest()[:24]}.xml"


def _norms_as_mvn(graph: Any) -> None:
    """Rewrite group norms as MVN, which OpenVINO runs in the convolutions' layout and fuses with what follows."""
    for node in graph.get_ops():
        if node.get_type_name() != "GroupNormalization":
            continue
        data, weight, bias = (port.get_source_output() for port in node.inputs())
        attributes = node.get_attributes()
        channels = data.get_partial_shape()[1].get_length()
        over_channels = attributes["num_groups"] == 1
        axes = np.array([1, 2, 3] if over_channels else [2, 3], np.int64)
        normalized = opset13.mvn(data, axes, normalize_variance=True, eps=attributes["epsilon"], eps_mode="inside_sqrt")
        if over_channels:  # a layer norm has an affine; the norm in an AdaIN has none
            shape = np.array([1, channels, 1, 1], np.int64)
            scaled = opset13.multiply(normalized, opset13.reshape(weight, shape, special_zero=False))
            normalized = opset13.add(scaled, opset13.reshape(bias, shape, special_zero=False))
        node.output(0).replace(normalized.output(0))
