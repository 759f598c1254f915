"""What a benchmark of the engines renders: a network, and a scene for it."""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.arrays import Frames
from model.engines.builder import EngineSettings, build_engine
from model.engines.eight_bits import EightBitCalibration, Example, observe_ranges, read_eight_bit_calibration
from model.engines.engine import Engine
from model.morphable import MOTION_SPACE
from model.pictures import to_frames, to_image
from model.renderer.config import RendererConfig
from model.renderer.editing import ResidualBlock
from model.renderer.guide import Guide
from model.renderer.mapping import motion_windows
from model.renderer.network import PIRenderer
from model.renderer.official import load_official_checkpoint
from model.renderer.released import load_renderer
from model.weights import RENDERER

LIGHT, FULL = "light", "full"
PUBLISHED_DIMENSION = 73  # of the motions of the published weights
CHECKPOINTS = (".pt", ".pth")


@dataclass(frozen=True)
class Subject:
    """A renderer's network and what is known of its weights; `motion_space` is None where they are made."""

    network: PIRenderer
    weights: str
    motion_space: str | None = None
    calibration: EightBitCalibration | None = None

    @classmethod
    def load(cls, name: str) -> "Subject":
        """ "light" is the released renderer, "full" the paper's size with made weights; else a file of weights.

        A file is NAME.safetensors with its card beside it, or a checkpoint of the authors (.pt).

        Raises WeightsError: there is no such file, or it is damaged.
        """
        if name == FULL:
            network = made(RendererConfig.full(PUBLISHED_DIMENSION))
            return cls(network, "made: normal, of unit gain", calibration=_calibrated(network))
        path = Path(RENDERER if name == LIGHT else name)
        if path.suffix in CHECKPOINTS:
            return cls(load_official_checkpoint(path).eval(), path.name)
        directory = None if name in (LIGHT, RENDERER) else path.parent
        stem = path.name.removesuffix(".safetensors")
        network, card = load_renderer(stem, directory)
        return cls(network, stem, card["motion_space"], read_eight_bit_calibration(card))

    @property
    def speaks(self) -> bool:
        """Whether it is driven by motions that speech becomes, and by the prior that goes with them."""
        return self.motion_space == MOTION_SPACE and self.network.config.guided

    def engine(self, settings: EngineSettings) -> Engine:
        """An engine around the network. Raises EngineError where this machine or these weights cannot have it."""
        return build_engine(self.network, settings, calibration=self.calibration)


@dataclass(frozen=True)
class Scene:
    """A source (1, 3, H, W), motions (T, D) and, for guided networks, priors (T, CHANNELS, H, W)."""

    source: Tensor
    motions: Tensor
    priors: Tensor | None = None

    @classmethod
    def made(cls, config: RendererConfig, frames: int, size: int | None = None) -> "Scene":
        """A smooth picture, motions that wander, and smooth flows of a pixel or so."""
        size = size or config.size
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(1, 3, 16, 16, generator=generator) * 2 - 1
        source = F.interpolate(coarse, size=(size, size), mode="bicubic").clamp(-1, 1)
        motions = torch.randn(frames, config.motion_dimension, generator=generator).cumsum(0) / frames**0.5
        flows = F.interpolate(torch.randn(frames, 2, 4, 4, generator=generator), size=(size, size), mode="bicubic")
        return cls(to_image(to_frames(source)[0]), motions, Guide.plain(flows).prior if config.guided else None)

    def prior(self, part: slice) -> Tensor | None:
        """The priors of some of the frames."""
        return None if self.priors is None else self.priors[part]


class Eager:
    """The network run as published, on `device`: what the engines are measured against.

    Float32, one frame at a time, the mapping and all of the source anew for each, and the convolution of each residual
    block that has no effect.
    """

    def __init__(self, network: PIRenderer, scene: Scene, device: str) -> None:
        self.network = copy.deepcopy(network).eval().to(device)
        for module in self.network.modules():
            if isinstance(module, ResidualBlock):
                module.register_forward_pre_hook(_without_effect)
        self._source = scene.source.to(device)
        self._windows = motion_windows(scene.motions, network.config.window_radius).to(device)
        self._scene = scene

    @torch.inference_mode()
    def image(self, index: int) -> Tensor:
        """One frame of the scene, (1, 3, H, W) in [-1, 1]."""
        part = slice(index, index + 1)
        prior = self._scene.prior(part)
        output = self.network(self._source, self._windows[part], None if prior is None else prior.to(self._source))
        return output.image

    def images(self) -> Tensor:
        """All frames (T, 3, H, W), on the CPU."""
        return torch.cat([self.image(index).cpu() for index in range(len(self._windows))])

    def frames(self) -> list[Frames]:
        """All frames as bytes."""
        return [to_frames(self.image(index)) for index in range(len(self._windows))]


def _without_effect(block: nn.Module, inputs: tuple[Tensor, Tensor]) -> None:
    if isinstance(block, ResidualBlock):
        block.norm(block.conv(inputs[0]), inputs[1])


def _calibrated(network: PIRenderer) -> EightBitCalibration:
    """Eight bits for made weights, so that their time can be told; their picture is for the benchmark to judge."""
    scene = Scene.made(network.config, 2)
    windows = motion_windows(scene.motions, network.config.window_radius)
    examples = [Example(scene.source, windows[i : i + 1], scene.prior(slice(i, i + 1))) for i in range(len(windows))]
    return EightBitCalibration(ranges=observe_ranges(network, examples), frames=len(examples), psnr_db=0.0)


@torch.no_grad()
def made(config: RendererConfig, seed: int = 0) -> PIRenderer:
    """A network whose weights keep the size of what passes through, so that its pictures have contrast."""
    generator = torch.Generator().manual_seed(seed)
    network = PIRenderer(config)
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0, module.weight[0].numel() ** -0.5, generator=generator)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.05, generator=generator)
    return network.eval()
