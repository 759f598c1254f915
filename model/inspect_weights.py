"""What a weights file is: its card, tensors and parameter counts."""

from collections import Counter
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from model.errors import WeightsError
from model.renderer.official import infer_config, read_official
from model.weights.files import read_card


def inspect_weights(path: Path) -> dict[str, Any]:
    """Describe a safetensors file of ours, with its card when there is one, or a checkpoint of the authors.

    Raises WeightsError: the file is missing, damaged, or neither of the two.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no weights file at {path}")
    if path.suffix != ".safetensors":
        state = read_official(path)
        return {"format": "checkpoint of the authors (pickle)", **_sizes(path, state), **_config(state)}
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path.name} is not a whole safetensors file: {error}") from error
    has_card = path.with_suffix(".json").is_file()
    card = read_card(path.stem, path.parent) if has_card else {}
    return {"format": "safetensors", **_sizes(path, state), **card}


def _sizes(path: Path, state: dict[str, Tensor]) -> dict[str, Any]:
    parts: Counter[str] = Counter()
    for key, value in state.items():
        parts[key.partition(".")[0]] += value.numel()
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "tensors": len(state),
        "parameters": sum(parts.values()),
        "parameters_by_part": dict(parts),
        "dtypes": sorted({str(value.dtype).removeprefix("torch.") for value in state.values()}),
        "finite": all(bool(value.isfinite().all()) for value in state.values()),
    }


def _config(state: dict[str, Tensor]) -> dict[str, Any]:
    config = infer_config(state)
    return {"dimension": config.motion_dimension, "config": config.model_dump()}
