"""Read and write released weights: a safetensors file and the JSON card that describes it."""

import hashlib
import json
import pickle
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from model.errors import WeightsError
from model.files import written
from model.weights.card import Card


def released_weights() -> Path:
    """Folder of the weights that ship with the package."""
    return Path(str(files("model") / "weights"))


def read_card(name: str, directory: Path | None = None) -> dict[str, Any]:
    """Read the card NAME.json.

    Raises WeightsError: there is no such card, or it is not a JSON object.
    """
    path = (directory or released_weights()) / f"{name}.json"
    if not path.is_file():
        raise WeightsError(f"no weights card {path.name!r} in {path.parent}; allowed are names of the cards there")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"weights card {path.name!r} is not JSON: {error}") from error
    if not isinstance(card, dict):
        raise WeightsError(f"weights card {path.name!r} holds a {type(card).__name__}; allowed is an object")
    return card


def digest_of_cards(renderer: str, directory: Path | None = None) -> str:
    """Of all cards in a folder, which hold checksums of their weights, and of which renderer there is taken."""
    digest = hashlib.sha256(renderer.encode())
    for path in sorted((directory or released_weights()).glob("*.json")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def load_weights(
    name: str, directory: Path | None = None, *, motion_space: str | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read NAME.safetensors (as float32) and its card.

    Raises WeightsError: a file is missing or damaged, its checksum differs from the card's, a number is not finite, or
    they are not of the `motion_space` that is asked for.
    """
    card = read_card(name, directory)
    if motion_space is not None and card.get("motion_space") != motion_space:
        raise WeightsError(f"{name} is of motion space {card.get('motion_space')!r}; {motion_space!r} is allowed")
    path = (directory or released_weights()) / f"{name}.safetensors"
    if not path.is_file():
        raise WeightsError(f"no weights file {path.name!r} in {path.parent}")
    if card.get("sha256") not in (None, _sha256(path)):
        raise WeightsError(f"{path.name} has another checksum than its card; fetch both again")
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path.name} is not a whole safetensors file: {error}") from error
    for key, value in state.items():
        if value.is_floating_point():
            state[key] = value.float()
            if not torch.isfinite(value).all():
                raise WeightsError(f"{path.name}: {key!r} holds NaN or infinity; allowed are finite numbers")
    return state, card


def read_state_dict(path: Path, what: str) -> Mapping[str, Any]:
    """Read a state dict that a user brings, as torch.save wrote it; nothing but tensors and containers is unpickled.

    Raises WeightsError: the file, named as `what`, is missing, damaged or holds something else.
    """
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{what} weights {path} cannot be read: {type(error).__name__}: {why_refused(error)}"
        ) from error
    if not isinstance(content, Mapping):
        raise WeightsError(f"{what} weights {path} hold a {type(content).__name__}; allowed is a state dict")
    return content


def why_refused(error: Exception) -> str:
    """Why torch.load refused a file, in one line. Its own text advises to unpickle whatever the file holds."""
    text = str(error).strip()
    if found := re.search(r"GLOBAL ([\w.]+)", text):
        return f"it holds {found[1]}; allowed are tensors and plain containers"
    if isinstance(error, pickle.UnpicklingError) or not text:
        return "it is no file of torch.save"
    return text.splitlines()[0]


def save_weights(
    directory: Path,
    name: str,
    state: Mapping[str, Tensor],
    card: Card,
    *,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Write NAME.safetensors (floating-point tensors as `dtype`) and NAME.json into `directory`.

    Raises WeightsError: a tensor holds NaN or infinity, or leaves the range of `dtype`.
    """
    stored = {}
    for key, value in state.items():
        kept = value.detach().cpu()
        if kept.is_floating_point():
            kept = kept.to(dtype)
            if not torch.isfinite(kept).all():
                raise WeightsError(f"{key!r} is not finite as {dtype}; nothing was written")
        stored[key] = kept.contiguous()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.safetensors"
    _write(path, save(stored))
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    full_card = card.model_copy(update={"name": name, "created": day, "sha256": _sha256(path)})
    write_card(name, full_card.content(), directory)
    return path


def copy_weights(name: str, directory: Path) -> None:
    """Put the packaged weights NAME and their card into `directory`."""
    for suffix in (".safetensors", ".json"):
        _write(directory / f"{name}{suffix}", (released_weights() / f"{name}{suffix}").read_bytes())


def write_card(name: str, card: Mapping[str, Any], directory: Path) -> None:
    """Write the card NAME.json."""
    _write(directory / f"{name}.json", (json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode())


def load_into(module: torch.nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load `state` into `module`, every key and shape being right.

    Raises WeightsError: names the keys that are missing, unknown or misshapen.
    """
    own = module.state_dict()
    missing = sorted(own.keys() - state.keys())
    unknown = sorted(state.keys() - own.keys())
    misshapen = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in sorted(own.keys() & state.keys())
        if own[key].shape != state[key].shape
    ]
    if missing or unknown or misshapen:
        raise WeightsError(
            f"{name} does not fit the network: missing {missing}, unknown {unknown}, misshapen {misshapen}"
        )
    module.load_state_dict(dict(state))


def _write(path: Path, content: bytes) -> None:
    with written(path) as temporary:
        temporary.write_bytes(content)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
