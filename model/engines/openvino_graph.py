"""The renderer as an OpenVINO graph of fixed shapes, built operation by operation.

It mirrors `PIRenderer.render` and differs where the CPU plugin is faster or more exact for it: the affine parameters of
all AdaINs are an input, the stems come with channels last, every norm is an MVN (which runs in the convolutions' layout
and fuses with what follows), and what warping computes stays in float32 when the rest is bfloat16: the plugin keeps to
float32 what lies between a result and the last heavy operation above it, so every warped picture is a result as well,
and the flow is enlarged by GridSample, which is not one of the heavy operations.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino
import torch
from openvino import opset13 as ops
from torch import Tensor, nn
from torch.nn import functional as F

from model.arrays import Integers
from model.engines.fusion import enlarging_kernel, neighbours_kernel
from model.renderer.editing import DecoderBlock as EditingDecoderBlock
from model.renderer.editing import ResidualBlock
from model.renderer.guide import CHANNELS, DOUBTS
from model.renderer.layers import EPSILON, NEGATIVE_SLOPE, AdaIN, ConvNorm, LayerNorm2d, SourceConv2d, typed
from model.renderer.network import DOUBT_LOGIT, PIRenderer
from model.renderer.warping import OUTSIDE, EncoderBlock, grid_frame, pixel_centres
from model.renderer.warping import DecoderBlock as WarpingDecoderBlock

LANES = 16
"""Of float32 in the widest vectors of the processors at hand."""

TINY = 1e-12
"""Scale of an output channel whose weights are all zero."""

Node = Any
"""An operation of the graph, or one of its outputs."""


def style_layers(network: PIRenderer) -> list[AdaIN]:
    """Every AdaIN, in the order of the columns of `styles`."""
    return [module for module in network.modules() if isinstance(module, AdaIN)]


def styles(network: PIRenderer, z: Tensor) -> Tensor:
    """The scales (1 + gamma) and shifts (beta) of all AdaINs for descriptors z (B, Z), side by side: (B, S)."""
    columns = []
    for layer in style_layers(network):
        gamma, beta = layer.affine(F.relu(layer.hidden(z))).chunk(2, dim=1)
        columns += [1 + gamma, beta]
    return torch.cat(columns, dim=1)


def build_graph(
    network: PIRenderer, *, batch: int, height: int, width: int, ranges: Mapping[str, tuple[float, float]] | None = None
) -> Node:
    """The graph of `batch` frames of one portrait, an openvino.Model.

    Inputs by name: source (1, 3, H, W), warping_stem and editing_stem (1, H, W, C), styles (B, S) and, when the network
    is guided, prior (B, CHANNELS, H, W). Results: image (B, 3, H, W), the warped pictures that led to it and, when
    guided, mask (B, 1, H, W), which is `RendererOutput.read`, and places (B, H, W, 2).
    Convolutions named in `ranges` read and weigh in eight bits: see model.engines.eight_bits.
    """
    config = network.config
    patch = config.patch
    shapes = {
        "source": (1, 3, height, width),
        "warping_stem": (1, height // patch, width // patch, config.warping.base_channels),
        "editing_stem": (1, height // patch, width // patch, config.editing.base_channels),
        "styles": (batch, sum(layer.affine.out_features for layer in style_layers(network))),
    }
    if config.guided:
        shapes["prior"] = (batch, CHANNELS, height, width)
    inputs = {name: ops.parameter(shape, np.float32, name=name) for name, shape in shapes.items()}
    for name, node in inputs.items():
        node.output(0).get_tensor().set_names({name})
    with torch.no_grad():
        pictures = _Builder(network, inputs["styles"], size=(height, width), batch=batch, ranges=ranges or {}).frame(
            inputs
        )
    # Named, since the name OpenVINO would count up is part of what a compiled graph is found by in the cache.
    results = [ops.result(picture, name=name) for name, picture in pictures.items()]
    for name, result in zip(pictures, results, strict=True):
        result.output(0).get_tensor().set_names({name})
    return openvino.Model(results, list(inputs.values()), "renderer")


class _Builder:
    """Methods add to the graph what the modules of that name compute."""

    def __init__(
        self,
        network: PIRenderer,
        style_input: Node,
        *,
        size: tuple[int, int],
        batch: int,
        ranges: Mapping[str, tuple[float, float]],
    ) -> None:
        self.network = network
        self.ranges = ranges
        self.names = {module: name for name, module in network.named_modules()}
        self.size = size
        self.batch = batch
        layers = style_layers(network)
        widths = [layer.affine.out_features // 2 for layer in layers for _ in ("scale", "shift")]
        columns = ops.variadic_split(style_input, np.int64(1), np.array(widths, np.int64))
        shaped = [_reshaped(columns.output(index), (batch, width, 1, 1)) for index, width in enumerate(widths)]
        self.styles = dict(zip(layers, zip(shaped[::2], shaped[1::2], strict=True), strict=True))

    def frame(self, inputs: dict[str, Node]) -> dict[str, Node]:
        if "prior" in inputs:
            return self.guided_frame(inputs)
        network = self.network
        source = ops.broadcast(inputs["source"], _integers(self.batch, 3, *self.size))
        flow = self.warping(_channels_first(inputs["warping_stem"]))
        warped = self.sample(source, self.moved(None, flow, scale=network.config.flow_scale))
        stem = ops.add(_channels_first(inputs["editing_stem"]), self.frame_part(warped, network.editing.first))
        return {"image": ops.tanh(self.editing(stem)), "warped": warped}

    def guided_frame(self, inputs: dict[str, Node]) -> dict[str, Node]:
        network = self.network
        source = ops.broadcast(inputs["source"], _integers(self.batch, 3, *self.size))
        parts = ops.variadic_split(inputs["prior"], np.int64(1), _integers(2, 3, 1, len(DOUBTS)))
        flow, completion, completed, doubt = (parts.output(index) for index in range(4))
        left = ops.subtract(_one(), completed)
        told = [doubt] if network.config.doubt else []
        where = self.moved(None, flow, scale=1)
        read = self.completed(self.sample(source, where), completion, left)
        seen = ops.concat([read, *told], 1) if told else read
        stem = ops.add(_channels_first(inputs["warping_stem"]), self.frame_part(seen, network.warping.first))
        where = self.moved(where, self.warping(stem), scale=network.config.flow_scale)
        warped = self.completed(self.sample(source, where), completion, left)
        seen = ops.concat([warped, *told], 1) if told else warped
        stem = ops.add(_channels_first(inputs["editing_stem"]), self.frame_part(seen, network.editing.first))
        painted = ops.variadic_split(self.editing(stem), np.int64(1), _integers(3, 1))
        colour, logit = ops.tanh(painted.output(0)), painted.output(1)
        if told:
            sure = ops.reduce_prod(ops.subtract(_one(), doubt), _integers(1), keep_dims=True)
            # DOUBT_LOGIT * (1 - 2 * doubtful), where doubtful is 1 - sure.
            scale, shift = (ops.constant(np.float32(value)) for value in (2 * DOUBT_LOGIT, -DOUBT_LOGIT))
            logit = ops.add(logit, ops.add(ops.multiply(sure, scale), shift))
        mask = ops.sigmoid(logit)
        image = ops.add(colour, ops.multiply(mask, ops.subtract(warped, colour)))
        shown = ops.multiply(mask, left)
        return {"image": image, "mask": shown, "places": _channels_last(where), "warped": warped, "read": read}

    @staticmethod
    def completed(read: Node, completion: Node, left: Node) -> Node:
        """`Guide.complete`; left is what the completion leaves."""
        return ops.add(completion, ops.multiply(read, left))

    def moved(self, where: Node | None, flow: Node, *, scale: int) -> Node:
        """The places (B, 2, H, W) to read, moved on by a flow of which a pixel covers `scale` of the image's."""
        grid = self.network.config.grid
        places, step = grid_frame((self.size[0] // scale, self.size[1] // scale), self.size, grid=grid)
        if scale > 1:  # bilinear enlargement
            centres = _constant(pixel_centres(self.size).permute(1, 2, 0).expand(self.batch, -1, -1, -1))
            flow = _grid_sample(flow, centres, outside="border")
        return ops.add(_constant(places[None]) if where is None else where, ops.multiply(_constant(step[None]), flow))

    def sample(self, image: Node, where: Node) -> Node:
        return _grid_sample(image, _channels_last(where), outside=OUTSIDE[self.network.config.grid])

    def warping(self, stem: Node) -> Node:
        part = self.network.warping
        x, maps = stem, []
        for encoder in typed(part.encoder, EncoderBlock):
            x = self.conv(_lrelu(self.styled(_instances(x), encoder.norm_0)), encoder.conv_0)
            x = self.conv(_lrelu(self.styled(_instances(x), encoder.norm_1)), encoder.conv_1)
            maps.append(x)
        maps.pop()
        for decoder in typed(part.decoder, WarpingDecoderBlock):
            normalized = _instances(x)
            shortcut = self.transposed_conv(_lrelu(self.styled(normalized, decoder.norm_s)), decoder.conv_s)
            y = self.conv(_lrelu(self.styled(normalized, decoder.norm_0)), decoder.conv_0)
            y = self.transposed_conv(_lrelu(self.styled(_instances(y), decoder.norm_1)), decoder.conv_1)
            x = ops.concat([ops.add(y, shortcut), maps.pop()], 1)
        return self.narrow_conv(_lrelu(_layer_norm(x, part.norm)), part.last)

    def editing(self, stem: Node) -> Node:
        part = self.network.editing
        x, maps = _lrelu(_layer_norm(stem, part.first_norm)), []
        for encoder in typed(part.encoder, ConvNorm):
            maps.append(x)
            x = ops.avg_pool(self.conv_norm(x, encoder), [2, 2], [0, 0], [0, 0], [2, 2], exclude_pad=False)
        for decoder in typed(part.decoder, EditingDecoderBlock):
            for block in typed(decoder.residual, ResidualBlock):
                x = ops.add(x, self.styled(_instances(self.conv(x, block.conv)), block.norm))
            enlarged = _lrelu(_layer_norm(self.enlarging_conv(x, decoder.up.conv), decoder.up.norm))
            x = ops.add(enlarged, self.conv_norm(maps.pop(), decoder.skip))
        y = self.narrow_conv(x, part.last)
        return y if part.patch == 1 else ops.depth_to_space(y, "depth_first", part.patch)

    def conv(self, x: Node, layer: nn.Conv2d) -> Node:
        stride, padding = list(layer.stride), [int(side) for side in layer.padding]
        weight = _constant(layer.weight)
        if span := self.ranges.get(self.names[layer]):
            x, weight = _eight_bits(x, weight, layer.weight, span)
        return _biased(ops.convolution(x, weight, stride, padding, padding, [1, 1]), layer.bias)

    def transposed_conv(self, x: Node, layer: nn.ConvTranspose2d) -> Node:
        padding = [int(side) for side in layer.padding]
        y = ops.convolution_backprop_data(
            x,
            _constant(layer.weight),
            list(layer.stride),
            pads_begin=padding,
            pads_end=padding,
            output_padding=list(layer.output_padding),
        )
        return _biased(y, layer.bias)

    def enlarging_conv(self, x: Node, layer: nn.Conv2d) -> Node:
        """Nearest-neighbour enlargement by two and a convolution, in one."""
        weight = _constant(enlarging_kernel(layer.weight))
        return _biased(ops.convolution_backprop_data(x, weight, [2, 2], pads_begin=[1, 1], pads_end=[1, 1]), layer.bias)

    def narrow_conv(self, x: Node, layer: nn.Conv2d) -> Node:
        """A convolution of few output channels, as many pixels at once as a vector has lanes for.

        Not a whole row at once: in bfloat16, processors with AMX make NaNs of that (OpenVINO 2026.4).
        """
        batch, _, height, width = x.output(0).shape
        fits = (n for n in (8, 4, 2) if n * layer.out_channels <= LANES and width % n == 0 and width > n)
        neighbours = next(fits, 1)
        padding = [int(side) for side in layer.padding]
        weight = _constant(neighbours_kernel(layer.weight, neighbours))
        y = _channels_last(ops.convolution(x, weight, [1, neighbours], padding, padding, [1, 1]))
        return _biased(_channels_first(_reshaped(y, (batch, height, width, layer.out_channels))), layer.bias)

    def frame_part(self, x: Node, layer: SourceConv2d) -> Node:
        padding = [int(side) for side in layer.padding]
        weight = _constant(layer.weight[:, layer.source_channels :])
        return ops.convolution(x, weight, list(layer.stride), padding, padding, [1, 1])

    def conv_norm(self, x: Node, block: ConvNorm) -> Node:
        return _lrelu(_layer_norm(self.conv(x, block.conv), block.norm))

    def styled(self, normalized: Node, layer: AdaIN) -> Node:
        scale, shift = self.styles[layer]
        return ops.add(ops.multiply(normalized, scale), shift)


def _constant(value: Tensor) -> Node:
    return ops.constant(value.detach().float().contiguous().numpy())


def _one() -> Node:
    return ops.constant(np.float32(1))


def _integers(*values: int) -> Integers:
    return np.array(values, np.int64)


def _reshaped(node: Node, shape: tuple[int, ...]) -> Node:
    return ops.reshape(node, _integers(*shape), special_zero=False)


def _channels_first(node: Node) -> Node:
    return ops.transpose(node, _integers(0, 3, 1, 2))


def _channels_last(node: Node) -> Node:
    return ops.transpose(node, _integers(0, 2, 3, 1))


def _biased(node: Node, bias: Tensor | None) -> Node:
    return node if bias is None else ops.add(node, _constant(bias[None, :, None, None]))


def _eight_bits(x: Node, weight: Node, values: Tensor, span: tuple[float, float]) -> tuple[Node, Node]:
    """Input and weight of a convolution rounded to 256 levels, the weight with a scale for each output channel."""
    low, high = (np.array(value, np.float32) for value in span)
    largest = values.detach().abs().amax((1, 2, 3), keepdim=True).clamp_min(TINY)
    limits = _constant(-largest), _constant(largest)
    return ops.fake_quantize(x, low, high, low, high, 256), ops.fake_quantize(weight, *limits, *limits, 255)


def _instances(x: Node) -> Node:
    return ops.mvn(x, _integers(2, 3), normalize_variance=True, eps=EPSILON, eps_mode="inside_sqrt")


def _layer_norm(x: Node, layer: LayerNorm2d) -> Node:
    normalized = ops.mvn(x, _integers(1, 2, 3), normalize_variance=True, eps=EPSILON, eps_mode="inside_sqrt")
    return _biased(ops.multiply(normalized, _constant(layer.weight[None, :, None, None])), layer.bias)


def _lrelu(x: Node) -> Node:
    return ops.prelu(x, np.array([NEGATIVE_SLOPE], np.float32))


def _grid_sample(image: Node, where: Node, *, outside: str) -> Node:
    return ops.grid_sample(image, where, {"align_corners": False, "mode": "bilinear", "padding_mode": outside})
