"""Import of a checkpoint that the paper's authors published: their keys and shapes to ours."""

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.errors import WeightsError
from model.renderer.config import EditingConfig, RendererConfig, WarpingConfig
from model.renderer.network import PIRenderer
from model.weights.card import RendererCard
from model.weights.files import save_weights, why_refused

NETWORK = "net_G_ema"
"""The averaged weights, the ones meant for use; the same file also holds the raw ones and the optimiser."""

MOTION_SPACES = {"bfm-deep3d": 73, "open478": 70}
"""Dimensions of the motion spaces that have a name here."""

WITHOUT_EFFECT = re.compile(r"editing_net\.decoder\.res\d+\.res\d+\.(conv1|norm1)\..+")
"""Keys that the authors' file has and their output does not depend on."""

_LAYER_NORM = re.compile(r"(flow_out\.0|model\.1)\.(weight|bias)$")
"""Their layer norms, whose affine has shape (C, 1, 1)."""

_OFFICIAL_PREFIX = {"mapping": "mapping_net", "warping": "warpping_net", "editing": "editing_net"}

_RENAMINGS = {
    "mapping": [(r"^first$", "first.0"), (r"^layers\.(\d+)$", r"encoder\1.1")],
    "warping": [
        (r"^first$", "hourglass.encoder.input_layer"),
        (r"^(encoder|decoder)\.(\d+)", r"hourglass.\1.\1\2"),
        (r"^norm$", "flow_out.0"),
        (r"^last$", "flow_out.2"),
    ],
    "editing": [
        (r"^first$", "encoder.first.model.0"),
        (r"^first_norm$", "encoder.first.model.1"),
        (r"^encoder\.(\d+)\.conv$", r"encoder.down\1.model.0"),
        (r"^encoder\.(\d+)\.norm$", r"encoder.down\1.model.1"),
        (r"^decoder\.(\d+)\.residual\.(\d+)\.conv$", r"decoder.res\1.res\2.conv2"),
        (r"^decoder\.(\d+)\.residual\.(\d+)\.norm", r"decoder.res\1.res\2.norm2"),
        (r"^decoder\.(\d+)\.up\.conv$", r"decoder.up\1.model.0"),
        (r"^decoder\.(\d+)\.up\.norm$", r"decoder.up\1.model.1"),
        (r"^decoder\.(\d+)\.skip\.conv$", r"decoder.jump\1.model.0"),
        (r"^decoder\.(\d+)\.skip\.norm$", r"decoder.jump\1.model.1"),
        (r"^last$", "decoder.final.model.0"),
    ],
}
"""Our module paths to theirs, after the decoders' levels have been turned; the first pattern that fits is used."""


def load_official_checkpoint(path: Path | str) -> PIRenderer:
    """Read the authors' pickle and return the network it holds, in evaluation mode.

    Only tensors and plain containers are unpickled. Sizes are inferred from the shapes; the window's radius is 13.

    Raises WeightsError: the file is no such checkpoint, or keys are missing, unknown, misshapen or not finite (all
    named).
    """
    return network_from_official(read_official(path))


def read_official(path: Path | str) -> dict[str, Tensor]:
    """The averaged weights of the authors' file, under the authors' keys."""
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no checkpoint at {path}")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = why_refused(error)
        raise WeightsError(f"{path.name} is not a checkpoint of tensors alone, or it is damaged: {reason}") from error
    if not isinstance(content, Mapping) or not isinstance(content.get(NETWORK), Mapping):
        found = sorted(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise WeightsError(f"{path.name} holds {found}; a checkpoint of the authors has {NETWORK!r}")
    state = {}
    for key, value in content[NETWORK].items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(f"{path.name}: {NETWORK}[{key!r}] is a {type(value).__name__}; allowed are tensors")
        state[key] = value.float()
    return state


def network_from_official(state: Mapping[str, Tensor]) -> PIRenderer:
    """The network of weights under the authors' keys; raises as `load_official_checkpoint` does."""
    config = infer_config(state)
    with torch.device("meta"):
        network = PIRenderer(config)
    sources = {key: official_keys(key, config) for key in network.state_dict()}
    expected = {name for names in sources.values() for name in names}
    missing = sorted(expected - state.keys())
    unknown = sorted(key for key in state.keys() - expected if not WITHOUT_EFFECT.fullmatch(key))
    if missing or unknown:
        raise WeightsError(f"the checkpoint does not fit the network: missing {missing}, unknown {unknown}")
    ours, misshapen = {}, []
    for key, target in network.state_dict().items():
        names = sources[key]
        wanted = (len(target) // len(names), *target.shape[1:])
        if _LAYER_NORM.search(names[0]):
            wanted = (*wanted, 1, 1)
        for name in names:
            if state[name].shape != wanted:
                misshapen.append(f"{name} {tuple(state[name].shape)} instead of {wanted}")
            elif not torch.isfinite(state[name]).all():
                raise WeightsError(f"{name} holds NaN or infinity; allowed are finite numbers")
        if not misshapen:
            ours[key] = torch.cat([state[name] for name in names]).reshape(target.shape).contiguous()
    if misshapen:
        raise WeightsError(f"the checkpoint does not fit the network: misshapen {misshapen}")
    network.load_state_dict(ours, assign=True)
    return network.eval()


def infer_config(state: Mapping[str, Tensor]) -> RendererConfig:
    """Sizes of the network from the shapes of the authors' keys."""

    def shape(key: str, dimensions: int) -> torch.Size:
        if key not in state:
            raise WeightsError(f"the checkpoint has no {key!r}, which tells the network's sizes")
        if state[key].dim() != dimensions:
            raise WeightsError(f"{key} has shape {tuple(state[key].shape)}; allowed are {dimensions} dimensions")
        return state[key].shape

    def layers(pattern: str) -> list[int]:
        found = {int(match[1]) for key in state if (match := re.match(pattern, key))}
        if not found:
            raise WeightsError(f"the checkpoint has no key like {pattern!r}")
        return sorted(found)

    hourglass, editing = "warpping_net.hourglass.", "editing_net."
    encoder_layers = len(layers(r"warpping_net\.hourglass\.encoder\.encoder(\d+)\."))
    down_layers = len(layers(r"editing_net\.encoder\.down(\d+)\."))
    mapping = shape("mapping_net.first.0.weight", 3)
    return RendererConfig(
        motion_dimension=mapping[1],
        descriptor_size=mapping[0],
        adain_hidden=shape(f"{hourglass}encoder.encoder0.norm_0.mlp_shared.0.weight", 2)[0],
        warping=WarpingConfig(
            base_channels=shape(f"{hourglass}encoder.input_layer.weight", 4)[0],
            max_channels=shape(f"{hourglass}encoder.encoder{encoder_layers - 1}.conv_1.weight", 4)[0],
            encoder_layers=encoder_layers,
            decoder_layers=len(layers(r"warpping_net\.hourglass\.decoder\.decoder(\d+)\.")),
        ),
        editing=EditingConfig(
            base_channels=shape(f"{editing}encoder.first.model.0.weight", 4)[0],
            max_channels=shape(f"{editing}encoder.down{down_layers - 1}.model.0.weight", 4)[0],
            layers=down_layers,
            residual_blocks=len(layers(r"editing_net\.decoder\.res0\.res(\d+)\.")),
        ),
        guided=False,
        grid="published",
    )


def official_keys(key: str, config: RendererConfig) -> list[str]:
    """The authors' keys that, concatenated, make our `key`: two for an AdaIN's affine (gamma, beta), else one.

    Our decoders count from the smallest map up, theirs by the level of the map they write.
    """
    path, _, kind = key.rpartition(".")
    if path.endswith(".affine"):
        return [name for part in ("mlp_gamma", "mlp_beta") for name in _renamed(f"{path[:-6]}{part}", kind, config)]
    return _renamed(path, kind, config)


def _renamed(path: str, kind: str, config: RendererConfig) -> list[str]:
    part, _, rest = path.partition(".")
    rest = re.sub(r"\.hidden$", ".mlp_shared.0", rest)
    levels = config.warping.encoder_layers if part == "warping" else config.editing.layers
    rest = re.sub(r"^decoder\.(\d+)", lambda match: f"decoder.{levels - 1 - int(match[1])}", rest)
    for pattern, replacement in _RENAMINGS[part]:
        rest, count = re.subn(pattern, replacement, rest)
        if count:
            break
    return [f"{_OFFICIAL_PREFIX[part]}.{rest}.{kind}"]


def import_official(checkpoint: Path, motion_space: str, out: Path) -> Path:
    """Write a checkpoint of the authors as `out`/renderer-MOTION_SPACE.safetensors with a card; returns its path.

    The weights are kept in float32, so that the outputs stay the authors' to the last digit that matters.

    Raises WeightsError: see `load_official_checkpoint`; or motion_space is no name, or one of another dimension.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", motion_space):
        raise WeightsError(f"motion space is {motion_space!r}; allowed are lower-case letters, digits and '-'")
    network = load_official_checkpoint(checkpoint)
    dimension = network.config.motion_dimension
    if MOTION_SPACES.get(motion_space, dimension) != dimension:
        raise WeightsError(
            f"the checkpoint takes motions of dimension {dimension}; {motion_space} has {MOTION_SPACES[motion_space]}"
        )
    card = RendererCard(
        motion_space=motion_space,
        dimension=dimension,
        licence="as the authors published the checkpoint: CC BY-NC 4.0 unless they say otherwise",
        intended_use="what the authors' licence allows",
        data="see the authors' publication",
        recipe=f"imported from {checkpoint.name}, {NETWORK}",
        config=network.config.model_dump(),
    )
    return save_weights(out, f"renderer-{motion_space}", network.state_dict(), card, dtype=torch.float32)
